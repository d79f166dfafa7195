// A rebuild comes to the rows that the live runner comes to, whatever the history; nobody sees it coming; what it leaves
// behind is a table for a rollback.
import { createHash } from 'node:crypto';
import { expect } from 'chai';
import type { AnyProjector } from '#projectors/batch.ts';
import { rowHashesSql } from '#projectors/postgres/digest.ts';
import { ensureReadModels } from '#projectors/postgres/read-models.ts';
import { tableOf } from '#projectors/postgres/statements.ts';
import { RebuildError } from '#projectors/rebuild/errors.ts';
import { REBUILD_POINTS, type RebuildPoint } from '#projectors/rebuild/points.ts';
import { type TenantId, tenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import { ACME, GLOBEX } from '../chains.ts';
import { both, counted, log, mixture, poison, TABLES, tally } from '../tally.ts';
import { type History, history } from './history.ts';

// Statements whose payload is JSON: the store keeps no other.
const sound = (length: number) => mixture(length).map((said) => (said.payload ? { type: said.type } : said));

const failureOf = async (work: Promise<unknown>): Promise<Error> => {
  try {
    await work;
  } catch (error) {
    return error as Error;
  }
  throw new Error('it was to fail');
};

describe('a rebuild', function () {
  this.timeout(120_000);
  let past: History;
  beforeEach(async () => {
    past = await history();
  });
  afterEach(() => past[Symbol.asyncDispose]());

  const builds = async (name: string): Promise<unknown> =>
    (
      await past.pool.query(
        'SELECT version, build, state FROM projections.builds WHERE projection = $1 ORDER BY 1, 2',
        [name],
      )
    ).rows.map(({ version, build, state }) => `v${version} b${build} ${state}`);

  it('comes to the rows of the live runner, of every tenant, and takes its place', async () => {
    for (let index = 0; index < 12; index += 1)
      await past.say(`tenant-${index}` as TenantId, sound(1 + index * 37));
    await past.follow();
    for (const projector of both) {
      const before = await past.shown(projector.name);
      expect(before.length).to.be.greaterThan(5);
      const visited: RebuildPoint[] = [];
      const result = await past.rebuild(projector, { at: (point) => void visited.push(point) });
      expect(await past.shown(projector.name)).to.deep.equal(before);
      expect(result).to.deep.include({ build: 2, resumed: false, tenants: 12, rows: before.length });
      expect(result.replaced).to.deep.equal({ version: 1, build: 1 });
      expect([...new Set(visited)]).to.deep.equal([...REBUILD_POINTS]);
      expect(await builds(projector.name)).to.deep.equal(['v1 b1 kept', 'v1 b2 live']);
    }
    await past.say(ACME, sound(40));
    await past.follow();
    expect((await past.shown('log')).length).to.equal(
      Array.from({ length: 12 }, (_, index) => sound(1 + index * 37))
        .concat([sound(40)])
        .flat()
        .filter(({ type }) => type.startsWith('test.')).length,
    );
  });

  it('throws out a row that no history produces, and puts back one that was lost', async () => {
    await past.say(ACME, [counted(['ada'], 2), counted(['bob'], 3)]);
    await past.follow();
    const sane = await past.shown('tally');
    await past.owner.query(`INSERT INTO projections.tally_v1 VALUES ('acme', 'mallory', 1, '{}', NULL);
      INSERT INTO projections.tally_v1 VALUES ('nobody', 'mallory', 1, '{}', NULL);
      DELETE FROM projections.tally_v1 WHERE name = 'ada'`);
    const sibling = await past.shown('log');
    await past.rebuild(tally);
    expect(await past.shown('tally')).to.deep.equal(sane);
    expect(await past.shown('log'), 'the sibling').to.deep.equal(sibling);
    expect(await builds('log')).to.deep.equal(['v1 b1 live']);
  });

  it('of no facts at all makes an empty read model', async () => {
    const result = await past.rebuild(tally);
    expect(result).to.deep.include({ facts: 0, rows: 0, tenants: 0 });
    expect(await past.shown('tally')).to.deep.equal([]);
    await past.say(ACME, [counted(['ada'])]);
    await past.follow();
    expect(await past.shown('tally')).to.have.length(1);
  });

  it('records what it proved, tenant by tenant, before the switch, and psql and sha256sum would say the same', async () => {
    await past.say(ACME, sound(300));
    await past.say(GLOBEX, sound(20));
    let shownThen: unknown;
    await past.rebuild(tally, {
      attest: async (what) => {
        past.proved.push(what);
        shownThen = await builds('tally');
      },
    });
    expect(shownThen).to.deep.equal(['v1 b1 live', 'v1 b2 building']);
    const [{ proofs, build, projection } = { proofs: [] }] = past.proved;
    expect({ build, projection }).to.deep.equal({ build: 2, projection: 'tally' });
    expect(proofs.map(({ tenant, seq }) => [tenant, seq])).to.deep.equal([
      ['acme', 300],
      ['globex', 20],
    ]);
    for (const { tenant, digest, rows, hash, seq } of proofs) {
      const own = `(SELECT * FROM ${tableOf(tally, 2)} WHERE tenant = '${tenant}')`;
      const { rows: hashes } = await past.pool.query<{ encode: string }>(rowHashesSql(tally, own));
      const sum = createHash('sha256').update(hashes.map(({ encode }) => `${encode}\n`).join(''));
      expect([rows, digest]).to.deep.equal([hashes.length, sum.digest('hex')]);
      expect((await past.store.head(tenant))?.hash).to.equal(hash);
      expect(seq).to.be.greaterThan(0);
    }
  });

  it('is not switched to when its rows are not those of the replay', async () => {
    await past.say(ACME, sound(60));
    await past.follow();
    const before = await past.shown('tally');
    const tamper = async (point: RebuildPoint): Promise<void> => {
      if (point === 'indexed')
        await past.owner.query(`UPDATE ${tableOf(tally, 2)} SET total = total + 1 WHERE name = 'ada'`);
    };
    const error = await failureOf(past.rebuild(tally, { at: tamper }));
    expect(error).to.be.instanceOf(RebuildError).with.property('code', 'not-equal');
    expect(error.message).to.match(/acme as of fact 60: the table has \d rows with the digest/);
    expect(past.proved).to.deep.equal([]);
    expect(await past.shown('tally')).to.deep.equal(before);
    expect(await builds('tally')).to.deep.equal(['v1 b1 live', 'v1 b2 building']);
  });

  it('takes in what is recorded while it goes on; readers see one build or the other, never less than before', async () => {
    await past.say(ACME, sound(50));
    await past.follow();
    const total = async (): Promise<number> =>
      (await past.pool.query<{ n: number }>('SELECT count(*) AS n FROM views.log')).rows[0]?.n ?? -1;
    const reader = await past.pool.connect();
    await reader.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    const seenFirst = (await reader.query('SELECT id FROM views.log ORDER BY id')).rows;
    let [least, looks, over] = [await total(), 0, false];
    const watching = (async () => {
      while (!over) {
        const now = await total();
        expect(now).to.be.at.least(least);
        least = now;
        looks += 1;
      }
    })();
    // Recorded, and taken by the live runner, between all parts of the rebuild.
    const live = async (point: RebuildPoint): Promise<void> => {
      if (point.startsWith('switch-')) return;
      await past.say(ACME, sound(9));
      await past.say(`at-${point}` as TenantId, sound(3));
      if (point !== 'caught-up') await past.follow([log]);
    };
    await past.rebuild(log, { at: live });
    over = true;
    await watching;
    expect(looks).to.be.greaterThan(3);
    expect((await reader.query('SELECT id FROM views.log ORDER BY id')).rows).to.deep.equal(seenFirst);
    await reader.query('COMMIT');
    reader.release();
    await past.follow();
    const { rows } = await past.pool.query<{ n: number }>(
      `SELECT count(*) AS n FROM ledger.facts WHERE type LIKE 'test.%'`,
    );
    expect(await total()).to.equal(rows[0]?.n);
    expect(await builds('log')).to.deep.equal(['v1 b1 kept', 'v1 b2 live']);
  });

  it('halts at the fact at which the live runner halts, and the other tenants are whole', async () => {
    await past.say(ACME, [counted(['ada']), counted(['ada']), poison('bob'), counted(['cyd'])]);
    await past.say(GLOBEX, sound(30));
    await past.follow();
    const before = await past.shown('tally');
    const halted = async (): Promise<unknown> =>
      (
        await past.pool.query(
          `SELECT tenant, as_of_seq, fault_seq, fault_message, build FROM views.projection_status WHERE projection = 'tally' ORDER BY 1`,
        )
      ).rows.map(({ build: _, ...rest }) => rest);
    const liveHalt = await halted();
    await past.rebuild(tally);
    expect(await past.shown('tally')).to.deep.equal(before);
    expect(await halted()).to.deep.equal(liveHalt);
    expect(JSON.stringify(liveHalt)).to.contain('bob is poison');
  });

  it('that halts where the one in use has not is not switched to, and says at which fact', async () => {
    await past.say(ACME, [counted(['ada']), counted(['ada']), counted(['bob'])]);
    await past.follow();
    const strict: AnyProjector = {
      ...tally,
      fold: (row, fact, key) => {
        if (fact.seq === 2) throw new Error('two is one too many');
        return tally.fold(row, fact, key);
      },
    };
    const error = await failureOf(past.rebuild(strict));
    expect(error).to.be.instanceOf(RebuildError).with.property('code', 'halted');
    expect(error.message).to.match(/tally of acme halts at fact 2, .* two is one too many/);
    expect(await builds('tally')).to.deep.equal(['v1 b1 live', 'v1 b2 proved']);
  });

  for (const [what, refused] of [
    [
      'a key that comes twice in an insert-only model',
      {
        ...log,
        keys: () => [['same']],
        fold: (_: unknown, { seq }: { seq: number }) => ({ id: 'same', seq }),
      },
    ],
    [
      'a value that the column cannot hold',
      {
        ...log,
        fold: (_: unknown, { seq, id }: { seq: number; id: string }) => ({
          id,
          seq: seq === 2 ? 2 ** 60 : seq,
        }),
      },
    ],
  ] as const) {
    it(`finds the one fact that the database refuses: ${what}`, async () => {
      await past.say(ACME, [counted(['ada']), counted(['ada']), counted(['bob'])]);
      await past.say(GLOBEX, [counted(['ada'])]);
      await past.rebuild(refused as AnyProjector);
      const { rows } = await past.pool.query(
        `SELECT tenant, as_of_seq, fault_seq FROM views.projection_status WHERE projection = 'log' ORDER BY 1`,
      );
      expect(rows).to.deep.equal([
        { tenant: 'acme', as_of_seq: 1, fault_seq: 2 },
        { tenant: 'globex', as_of_seq: 1, fault_seq: null },
      ]);
      expect(await past.shown('log')).to.have.length(2);
    });
  }

  it('does with more rows than may be held in memory what it does with few', async () => {
    await past.say(ACME, sound(200));
    await past.say(GLOBEX, sound(200));
    await past.follow();
    const before = await past.shown('tally');
    await past.rebuild(tally, { maxRows: 2 });
    expect(await past.shown('tally')).to.deep.equal(before);
  });

  it('passes over the facts that were skipped', async () => {
    await past.say(ACME, [counted(['ada']), poison('ada'), counted(['ada'], 5)]);
    const skips = async (projection: string): Promise<ReadonlySet<never>> =>
      new Set(projection === 'tally' ? [2 as never] : []);
    await past.rebuild(tally, { skips });
    const { rows } = await past.pool.query('SELECT name, total FROM views.tally');
    expect(rows).to.deep.equal([{ name: 'ada', total: 6 }]);
  });

  it('of one tenant changes the rows of that tenant alone, together with its checkpoint', async () => {
    await past.say(ACME, sound(50));
    await past.say(GLOBEX, sound(50));
    await past.follow();
    const sane = await past.shown('tally');
    await past.owner.query(`UPDATE projections.tally_v1 SET total = 4711 WHERE name = 'ada'`);
    await past.say(ACME, sound(5));
    await past.rebuild(tally, { tenant: ACME });
    const now = await past.shown('tally');
    expect(now.filter((line) => line.includes('4711'))).to.have.length(1);
    expect(now.filter((line) => line.includes('4711'))[0]).to.contain('globex');
    await past.follow();
    await past.rebuild(tally, { tenant: GLOBEX });
    expect((await past.shown('tally')).filter((line) => line.startsWith('(globex'))).to.deep.equal(
      sane.filter((line) => line.startsWith('(globex')),
    );
    await past.rebuild(tally, { tenant: tenantId('late-one') }).catch(() => undefined);
    expect(await builds('tally'))
      .to.include('v1 b2 kept')
      .and.include('v1 b1 live');
  });

  it('moves the view to a newer version, while the older one is kept by who has it', async () => {
    await past.say(ACME, sound(40));
    await past.follow();
    const newer: AnyProjector = {
      ...tally,
      version: 2,
      fold: (row, fact, key) => {
        const next = tally.fold(row, fact, key);
        return next && { ...next, note: 'v2' };
      },
    };
    await ensureReadModels(past.owner, [tally, newer], TABLES);
    await past.follow([tally, newer, log]);
    expect((await past.shown('tally')).filter((line) => line.includes('v2'))).to.deep.equal([]);
    await past.rebuild(newer);
    const now = await past.shown('tally');
    expect(now.length).to.be.greaterThan(2);
    expect(now.every((line) => line.includes('v2'))).to.equal(true);
    await past.say(ACME, [counted(['new'])]);
    await past.follow([tally, newer]);
    const { rows } = await past.pool.query(
      `SELECT version, state, shown FROM views.projection_status WHERE projection = 'tally' ORDER BY 1`,
    );
    expect(rows).to.deep.equal([
      { version: 1, state: 'current', shown: false },
      { version: 2, state: 'current', shown: true },
    ]);
  });

  it('is refused to whoever does not own the schema, with what to do', async () => {
    await past.owner.query(
      `CREATE ROLE lowly_${process.pid} LOGIN PASSWORD 'x'; GRANT prov_ledger_runtime TO lowly_${process.pid}`,
    );
    const { connect, RUNTIME_ROLE } = await import('#streams/postgres/connect.ts');
    const url = new URL(past.url);
    url.username = `lowly_${process.pid}`;
    url.password = 'x';
    const pool = connect({ url: url.href, max: 3, role: RUNTIME_ROLE });
    try {
      const error = await failureOf(past.rebuild(tally, { pool }));
      expect(error).to.be.instanceOf(StreamError).with.property('code', 'forbidden');
      expect(error.message).to.contain('let DATABASE_URL name that user');
    } finally {
      await pool.end();
      await past.owner.query(`DROP OWNED BY lowly_${process.pid}; DROP ROLE lowly_${process.pid}`);
    }
  });
});
