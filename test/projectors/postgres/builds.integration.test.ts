// Who may write to a read model: whoever knows the epoch of its live build, unless it is held.
import { expect } from 'chai';
import type { AnyProjector } from '#projectors/batch.ts';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { sourceDigest, sourceDigests } from '#projectors/postgres/source.ts';
import { pauseReadModel, resumeReadModel } from '#projectors/postgres/status.ts';
import { type Holding, runProjectors } from '#projectors/run.ts';
import { beginning, positionOf, type Step } from '#projectors/sink.ts';
import type { Recorded } from '#schemas/event.ts';
import type { TenantId } from '#schemas/ids.ts';
import {
  ACME,
  type Chains,
  chain,
  chainsOf,
  dump,
  feedOf,
  GLOBEX,
  type ProjectionDatabase,
  projectionDatabase,
} from '../chains.ts';
import { both, counted, decode, log, mixture, poison, TABLES, tally } from '../tally.ts';

const stepOver = (facts: readonly Recorded[]): Step => ({
  tenant: facts[0]?.tenant as TenantId,
  from: beginning(facts[0]?.tenant as TenantId),
  to: positionOf(facts.at(-1) as Recorded),
  facts: facts.filter(({ type }) => type.startsWith('test.')).map(decode),
});

describe('the builds of a read model', () => {
  let db: ProjectionDatabase;
  beforeEach(async () => {
    db = await projectionDatabase(both, TABLES);
  });
  afterEach(() => db[Symbol.asyncDispose]());

  const nextEpoch = (table: string): Promise<unknown> =>
    db.owner.query(`UPDATE projections.${table} SET epoch = epoch + 1 WHERE projection = 'tally'`);
  const rows = async (): Promise<number> =>
    (await db.pool.query('SELECT FROM projections.tally_v1')).rowCount ?? 0;

  it('a step that names an epoch gone by changes nothing, be it the first of its tenant or a later one', async () => {
    const facts = chain(ACME, [counted(['ada']), counted(['bob'])]);
    const stale = postgresRowSink({ pool: db.pool });
    await stale.checkpoints(tally);
    await nextEpoch('builds');
    expect(await stale.apply(tally, stepOver(facts.slice(0, 1)))).to.deep.equal({ kind: 'overtaken' });
    expect(await rows()).to.equal(0);

    const current = postgresRowSink({ pool: db.pool });
    expect(await current.apply(tally, stepOver(facts.slice(0, 1)))).to.deep.equal({ kind: 'applied' });
    await nextEpoch('checkpoints');
    const [first] = facts as [Recorded];
    const later = { ...stepOver(facts), from: positionOf(first), facts: facts.slice(1).map(decode) };
    expect(await current.apply(tally, later)).to.deep.equal({ kind: 'overtaken' });
    expect(await rows()).to.equal(1);
  });

  it('steps of many tenants go in one transaction; one that cannot be taken leaves the others alone', async () => {
    const names = Array.from({ length: 40 }, (_, index) => `tenant-${index}` as TenantId);
    const steps = names.map((tenant, index) =>
      stepOver(chain(tenant, [counted(['ada']), index === 7 ? poison('ada') : counted(['ada', 'bob'], 2)])),
    );
    const sink = postgresRowSink({ pool: db.pool });
    const results = await sink.applyAll(tally, steps);
    expect(results.map(({ kind }) => kind)).to.deep.equal(
      names.map((_, index) => (index === 7 ? 'refused' : 'applied')),
    );
    expect(await rows()).to.equal(78);
    const again = await sink.applyAll(tally, steps.slice(0, 3));
    expect(again.map(({ kind }) => kind)).to.deep.equal(['overtaken', 'overtaken', 'overtaken']);
    expect(await rows()).to.equal(78);
  });

  it('many tenants in groups come to the rows that each would come to alone', async () => {
    const chains: Chains = new Map(
      Array.from({ length: 30 }, (_, index) => {
        const tenant = `tenant-${index}` as TenantId;
        return [
          tenant,
          chain(tenant, [...mixture(index), ...(index % 9 === 4 ? [poison('bob')] : [])]),
        ] as const;
      }).filter(([, facts]) => facts.length > 0),
    );
    const run = (some: Chains): Promise<void> =>
      runProjectors({
        feed: feedOf(some),
        sink: postgresRowSink({ pool: db.pool }),
        projectors: both,
        decode,
        signal: new AbortController().signal,
        untilCaughtUp: true,
        batchSize: 7,
      });
    await run(chains);
    const grouped = await dump(db.pool, both);
    expect(grouped.filter((line) => line.includes('halted'))).to.have.length(3);
    await db.owner.query('TRUNCATE projections.tally_v1, projections.log_v1, projections.checkpoints');
    for (const [tenant, facts] of chains) await run(new Map([[tenant, facts]]));
    expect(await dump(db.pool, both)).to.deep.equal(grouped);
  });

  const follow = (chains: Chains, projectors: readonly AnyProjector[], stop: AbortController) => {
    const held: Holding[] = [];
    const done = (async () =>
      await runProjectors({
        feed: feedOf(chains),
        sink: postgresRowSink({ pool: db.pool, sources: await sourceDigests(projectors, TABLES) }),
        projectors,
        decode,
        signal: stop.signal,
        resumeCheckMs: 20,
        onHeld: (holding) => held.push(holding),
      }))();
    return { done, held };
  };

  it('one that is paused is left alone, its sibling is not, and goes on when it is resumed', async () => {
    const chains = new Map([[ACME, chain(ACME, mixture(5))]]);
    const stop = new AbortController();
    const { done, held } = follow(chains, both, stop);
    await until(async () => (await seqOf('tally')) === 5);
    expect(await pauseReadModel(db.pool, 'tally', 'the disk is full')).to.equal(true);
    expect(await pauseReadModel(db.pool, 'tally', 'again')).to.equal(false);
    chains.set(ACME, chain(ACME, mixture(20)));
    chains.set(GLOBEX, chain(GLOBEX, mixture(4)));
    await until(async () => (await seqOf('log')) === 20 && held.length > 0);
    expect(await seqOf('tally')).to.equal(5);
    expect(
      (await db.pool.query(`SELECT FROM projections.checkpoints WHERE projection = 'tally'`)).rowCount,
    ).to.equal(1);
    expect(held).to.deep.equal([{ projection: 'tally', version: 1, why: 'paused' }]);
    expect(await resumeReadModel(db.pool, 'tally')).to.equal(true);
    expect(await resumeReadModel(db.pool, 'tally')).to.equal(false);
    await until(async () => (await seqOf('tally')) === 20);
    stop.abort();
    await done;
  });

  it('one that another source made is left alone, whoever asks for it', async () => {
    const changed: AnyProjector = {
      ...tally,
      fold: (row, fact) => ({ ...tally.fold(row, fact, ['x']), total: 0 }),
    };
    const stop = new AbortController();
    const { done, held } = follow(chainsOf(chain(ACME, mixture(9))), [changed, log], stop);
    await until(async () => (await seqOf('log')) === 9 && held.length > 0);
    expect(await seqOf('tally')).to.equal(undefined);
    expect(held).to.deep.equal([{ projection: 'tally', version: 1, why: 'changed' }]);
    stop.abort();
    await done;
  });

  it('the digest of a source knows every change but those of remarks and white space', async () => {
    const digest = (over: Partial<AnyProjector>): Promise<string> =>
      sourceDigest({ ...tally, ...over }, TABLES);
    const own = await digest({});
    expect(await digest({})).to.equal(own);
    expect(own).to.match(/^[0-9a-f]{64}$/);
    const others = [
      await digest({ fold: () => undefined }),
      await digest({ keys: () => [] }),
      await digest({ handles: ['test.Counted'] }),
      await digest({ columns: { ...tally.columns, more: 'text' } }),
      await digest({ version: 2 }),
      await sourceDigest({ ...tally, name: 'log' }, TABLES),
    ];
    expect(new Set([own, ...others]).size).to.equal(7);
  });

  const seqOf = async (projection: string): Promise<number | undefined> =>
    (
      await db.pool.query<{ seq: number }>(
        `SELECT seq FROM projections.checkpoints WHERE projection = $1 AND tenant = 'acme'`,
        [projection],
      )
    ).rows[0]?.seq;
});

const until = async (condition: () => Promise<boolean>): Promise<void> => {
  for (let look = 0; look < 1000; look += 1) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('this did not come about in 10 seconds');
};
