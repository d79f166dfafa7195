import { expect } from 'chai';
import pg from 'pg';
import { type DatabaseTemplate, freshDatabase } from './postgres.ts';

const connected = async (url: string): Promise<pg.Client> => {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
};

describe('test/support freshDatabase', () => {
  it('gives an empty UTF8 database that is gone after disposal', async () => {
    const database = await freshDatabase();
    const client = await connected(database.url);
    const { rows } = await client.query(
      `SELECT pg_encoding_to_char(encoding) AS encoding, datcollate,
        (SELECT count(*)::int FROM pg_class WHERE relnamespace = 'public'::regnamespace) AS tables
       FROM pg_database WHERE datname = current_database()`,
    );
    expect(rows).to.deep.equal([{ encoding: 'UTF8', datcollate: 'C', tables: 0 }]);
    await client.end();
    await database[Symbol.asyncDispose]();
    const error = await connected(database.url).catch((failure: Error) => failure);
    expect(error)
      .to.be.instanceOf(Error)
      .with.property('message')
      .that.matches(/does not exist/);
  });

  it('prepares a template once and clones it for each caller', async () => {
    let prepared = 0;
    const template: DatabaseTemplate = {
      name: 'cloned',
      prepare: async (connection) => {
        prepared += 1;
        const client = new pg.Client(connection);
        await client.connect();
        await client.query('CREATE TABLE marks AS SELECT 7 AS mark');
        await client.end();
      },
    };
    await using one = await freshDatabase({ template });
    await using other = await freshDatabase({ template });
    const first = await connected(one.url);
    await first.query('DELETE FROM marks');
    await first.end();
    const second = await connected(other.url);
    expect((await second.query('SELECT mark FROM marks')).rows).to.deep.equal([{ mark: 7 }]);
    await second.end();
    expect(prepared).to.equal(1);
  });

  it('fails the test that left a connection open, and drops the database all the same', async () => {
    const database = await freshDatabase();
    const client = await connected(database.url);
    // The server ends the session on DROP ... FORCE; that is not what is tested here.
    client.on('error', () => {});
    const error = await database[Symbol.asyncDispose]().then(
      () => undefined,
      (failure: Error) => failure,
    );
    expect(error?.message).to.match(/1 connections to test_\w+ were left open/);
    await client.end().catch(() => {});
  });

  it('keeps fsync on when durability is asked for', async () => {
    const setting = async (durable: boolean): Promise<unknown> => {
      await using database = await freshDatabase({ durable });
      const client = await connected(database.url);
      const { rows } = await client.query('SHOW fsync');
      await client.end();
      return rows[0];
    };
    expect(await setting(true)).to.deep.equal({ fsync: 'on' });
    if (process.env['PROV_TEST_DATABASE_URL'] === undefined)
      expect(await setting(false)).to.deep.equal({ fsync: 'off' });
  });
});
