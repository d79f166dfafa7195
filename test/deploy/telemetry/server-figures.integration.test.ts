import { expect } from 'chai';
import { serverFigures, serversUp } from '#deploy/telemetry/server-figures.ts';
import { connect } from '#streams/postgres/connect.ts';
import { freshDatabase } from '#test/support/postgres.ts';

describe('deploy/telemetry: servers of a ledger', () => {
  it('says which answers and which does not', async () => {
    await using database = await freshDatabase();
    const home = connect({ url: database.url, max: 1 });
    const gone = connect({ url: 'postgresql://nobody@127.0.0.1:1/none', max: 1 });
    const all = [
      { shard: 'home', pool: home },
      { shard: 'east', pool: gone },
    ];
    try {
      const up = await serversUp({ all });
      expect(serverFigures(() => up)[0]?.read()).to.deep.equal([
        { labels: { shard: 'home' }, value: 1 },
        { labels: { shard: 'east' }, value: 0 },
      ]);
      expect(serverFigures(() => undefined)[0]?.read()).to.deep.equal([]);
    } finally {
      await home.end();
      await gone.end();
    }
  });
});
