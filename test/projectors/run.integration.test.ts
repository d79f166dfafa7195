import { expect } from 'chai';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { resumeHalted } from '#projectors/postgres/status.ts';
import { type Halt, type RunOptions, runProjectors } from '#projectors/run.ts';
import type { RowSink } from '#projectors/sink.ts';
import type { Fact } from '#schemas/event.ts';
import { tenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import type { StreamFeed } from '#streams/stream.ts';
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
} from './chains.ts';
import { both, counted, decode, log, mixture, poison, TABLES, tally, unknown, unreadable } from './tally.ts';

describe('the live runner', () => {
  let db: ProjectionDatabase;
  beforeEach(async () => {
    db = await projectionDatabase(both, TABLES);
  });
  afterEach(() => db[Symbol.asyncDispose]());

  const run = async (chains: Chains, over: Partial<RunOptions> = {}): Promise<readonly Halt[]> => {
    const halts: Halt[] = [];
    const signal = new AbortController().signal;
    const sink = postgresRowSink({ pool: db.pool });
    await runProjectors({
      feed: feedOf(chains),
      sink,
      projectors: both,
      decode,
      signal,
      untilCaughtUp: true,
      onHalt: (halt) => halts.push(halt),
      ...over,
    });
    return halts;
  };

  const position = async (projection: string, tenant: string): Promise<unknown> =>
    (
      await db.pool.query(
        'SELECT seq, status FROM projections.checkpoints WHERE projection = $1 AND tenant = $2',
        [projection, tenant],
      )
    ).rows[0];

  const totals = async (tenant: string): Promise<readonly unknown[]> =>
    (
      await db.pool.query(`SELECT name, total FROM projections.tally_v1 WHERE tenant = $1 ORDER BY name`, [
        tenant,
      ])
    ).rows;

  it('keeps rows and checkpoints of every tenant', async () => {
    const chains = chainsOf(
      chain(ACME, [counted(['ada'], 2), counted(['ada', 'bob'], 3)]),
      chain(GLOBEX, [counted(['ada'], 9)]),
    );
    expect(await run(chains)).to.deep.equal([]);
    expect(await totals('acme')).to.deep.equal([
      { name: 'ada', total: 5 },
      { name: 'bob', total: 3 },
    ]);
    expect(await totals('globex')).to.deep.equal([{ name: 'ada', total: 9 }]);
    expect(await position('log', 'acme')).to.deep.equal({ seq: 2, status: 'running' });
  });

  it('comes to the same rows with batches of 1, 7 and 1,000, in one run or in several', async () => {
    const acme = chain(ACME, mixture(120));
    const globex = chain(GLOBEX, mixture(45));
    const dumps: (readonly string[])[] = [];
    for (const batchSize of [1, 7, 1000]) {
      await db.owner.query('TRUNCATE projections.tally_v1, projections.log_v1, projections.checkpoints');
      await run(chainsOf(acme.slice(0, 50), globex.slice(0, 1)), { batchSize });
      await run(chainsOf(acme, globex), { batchSize });
      dumps.push(await dump(db.pool, both));
    }
    expect(dumps[0]).to.have.length.greaterThan(100);
    expect(dumps[1]).to.deep.equal(dumps[0]);
    expect(dumps[2]).to.deep.equal(dumps[0]);
  });

  it('goes on with a tenant that another process kept meanwhile, without beginning anew', async () => {
    const facts = chain(ACME, mixture(30));
    const retried: string[] = [];
    const feed: StreamFeed = {
      subscribe: async function* () {
        yield { tenant: ACME, facts: facts.slice(0, 5) };
        // As a consumer group gives a tenant away and back: what lies between went to another one.
        await run(chainsOf(facts.slice(0, 20)));
        yield { tenant: ACME, facts: facts.slice(20) };
      },
      [Symbol.asyncDispose]: async () => undefined,
    };
    await run(chainsOf(), { feed, onRetry: ({ message }) => retried.push(message) });
    expect(retried).to.deep.equal([]);
    const rows = await dump(db.pool, both);
    await db.owner.query('TRUNCATE projections.tally_v1, projections.log_v1, projections.checkpoints');
    await run(chainsOf(facts));
    expect(rows).to.deep.equal(await dump(db.pool, both));
  });

  it('moves the checkpoint over facts that no read model handles, without reading them', async () => {
    await run(chainsOf(chain(ACME, [unknown, unknown, unknown])), { batchSize: 2 });
    expect(await position('tally', 'acme')).to.deep.equal({ seq: 3, status: 'running' });
    await run(chainsOf(chain(ACME, [unknown, unknown, unknown, counted(['ada'])])));
    expect(await totals('acme')).to.deep.equal([{ name: 'ada', total: 1 }]);
  });

  it('decodes each fact once for all read models', async () => {
    const seen: number[] = [];
    await run(chainsOf(chain(ACME, mixture(20))), {
      decode: (recorded) => (seen.push(recorded.seq), decode(recorded)),
    });
    expect(new Set(seen).size).to.equal(seen.length);
    expect(seen).to.have.length.greaterThan(15);
  });

  it('halts one read model of one tenant at a poison fact, with what came before it; the others go on', async () => {
    const facts = chain(ACME, [counted(['ada'], 2), poison('bob'), counted(['ada'], 3)]);
    const halts = await run(chainsOf(facts, chain(GLOBEX, [counted(['ada'], 9)])));
    expect(halts).to.deep.equal([
      { projection: 'tally', version: 1, tenant: 'acme', seq: 2, id: facts[1]?.id, message: 'bob is poison' },
    ]);
    expect(await totals('acme')).to.deep.equal([{ name: 'ada', total: 2 }]);
    expect(await totals('globex')).to.deep.equal([{ name: 'ada', total: 9 }]);
    expect(await position('tally', 'acme')).to.deep.equal({ seq: 1, status: 'halted' });
    expect(await position('log', 'acme')).to.deep.equal({ seq: 3, status: 'running' });
  });

  it('stays halted over restarts, saying so each time, and takes the same fact again when resumed', async () => {
    const chains = chainsOf(chain(ACME, [counted(['ada'], 2), poison('bob'), counted(['ada'], 3)]));
    await run(chains);
    expect(await run(chains), 'told again').to.have.length(1);
    expect(await resumeHalted(db.pool, 'tally', ACME)).to.equal(true);
    expect(await resumeHalted(db.pool, 'tally', ACME), 'a second time').to.equal(false);
    expect(await run(chains), 'still poison').to.have.length(1);
    await resumeHalted(db.pool, 'tally', ACME);
    const mended = (recorded: Parameters<typeof decode>[0]): Fact => {
      const fact = decode(recorded);
      return fact.seq === 2 ? ({ ...fact, data: { names: ['bob'], by: 1 } } as Fact) : fact;
    };
    expect(await run(chains, { decode: mended })).to.deep.equal([]);
    expect(await totals('acme')).to.deep.equal([
      { name: 'ada', total: 5 },
      { name: 'bob', total: 1 },
    ]);
  });

  it('halts all read models that need a fact which cannot be decoded, and parses it once', async () => {
    const facts = chain(ACME, [counted(['ada']), unreadable, counted(['ada'])]);
    const halts = await run(chainsOf(facts));
    expect(halts.map(({ projection, seq }) => [projection, seq])).to.have.deep.members([
      ['tally', 2],
      ['log', 2],
    ]);
    expect(halts[0]?.message).to.match(/JSON/);
    expect(await totals('acme')).to.deep.equal([{ name: 'ada', total: 1 }]);
  });

  for (const [what, name] of [
    ['a value the column cannot hold', 'a\0b'],
    ['a broken constraint', 'refused by the database'],
    ['a key too long for its index', longText()],
  ] as const) {
    it(`finds the one fact among many that the database refuses: ${what}`, async () => {
      const good = Array.from({ length: 40 }, () => counted(['ada']));
      const [halt] = await run(
        chainsOf(chain(ACME, [...good, counted([name]), ...good]), chain(GLOBEX, good)),
      );
      expect(halt).to.include({ projection: 'tally', tenant: 'acme', seq: 41 });
      expect(await totals('acme')).to.deep.equal([{ name: 'ada', total: 40 }]);
      expect(await position('log', 'acme')).to.deep.equal({ seq: 81, status: 'running' });
      expect(await totals('globex')).to.deep.equal([{ name: 'ada', total: 40 }]);
    });
  }

  it('parks a fact whose number is no safe integer, instead of storing another one', async () => {
    const [halt] = await run(chainsOf(chain(ACME, [counted(['ada'], 2 ** 53 - 1), counted(['ada'], 1)])));
    expect(halt).to.include({ seq: 2 });
    expect(halt?.message).to.match(/safe integer/);
    expect(await totals('acme')).to.deep.equal([{ name: 'ada', total: 2 ** 53 - 1 }]);
  });

  it('halts when a fact repeats a key of an insert-only model', async () => {
    const facts = chain(ACME, [counted(['ada']), counted(['ada']), counted(['ada'])]);
    const twice = (recorded: Parameters<typeof decode>[0]): Fact => ({
      ...decode(recorded),
      id: facts[0]?.id as never,
    });
    const halts = await run(chainsOf(facts), { decode: twice });
    expect(halts.map(({ projection, seq }) => [projection, seq])).to.deep.equal([['log', 2]]);
  });

  it('halts at a log that does not go on from what was read', async () => {
    const statements = [counted(['ada']), counted(['ada']), counted(['ada'])];
    await run(chainsOf(chain(ACME, statements.slice(0, 2))));
    const halts = await run(chainsOf(chain(ACME, statements, 'another history')));
    expect(halts.map(({ projection, seq }) => [projection, seq])).to.have.deep.members([
      ['tally', 2],
      ['log', 2],
    ]);
    expect(halts[0]?.message).to.match(/not the one that was read/);
    expect(await totals('acme')).to.deep.equal([{ name: 'ada', total: 2 }]);
  });

  it('notices a swapped log before anything new is recorded', async () => {
    await run(chainsOf(chain(ACME, [counted(['ada']), counted(['ada'])])));
    expect(
      await run(chainsOf(chain(ACME, [counted(['ada']), counted(['ada'])], 'another history'))),
    ).to.have.length(2);
  });

  it('halts where the chain breaks within a batch', async () => {
    const facts = chain(ACME, mixture(10));
    const other = chain(ACME, mixture(10), 'another history');
    const halts = await run(chainsOf([...facts.slice(0, 6), ...other.slice(6)]));
    expect(halts.map(({ seq }) => seq)).to.deep.equal([7, 7]);
    expect(halts[0]?.message).to.match(/chain is broken/);
    expect(await position('log', 'acme')).to.deep.equal({ seq: 6, status: 'halted' });
  });

  it('halts at the very first fact when the chain does not begin at its beginning', async () => {
    const halts = await run(
      chainsOf(chain(ACME, mixture(3)).map((fact) => ({ ...fact, prevHash: 'f'.repeat(64) as never }))),
    );
    expect(halts.map(({ seq }) => seq)).to.deep.equal([1, 1]);
    expect(await position('log', 'acme')).to.deep.equal({ seq: 0, status: 'halted' });
  });

  it('applies nothing twice when two runners share the checkpoints', async () => {
    const chains = chainsOf(chain(ACME, mixture(150)), chain(GLOBEX, mixture(150)));
    await run(chains, { batchSize: 1000 });
    const alone = await dump(db.pool, both);
    await db.owner.query('TRUNCATE projections.tally_v1, projections.log_v1, projections.checkpoints');
    const halts = await Promise.all([
      run(chains, { batchSize: 3 }),
      run(chains, { batchSize: 7 }),
      run(chains, { batchSize: 1 }),
    ]);
    expect(halts).to.deep.equal([[], [], []]);
    expect(await dump(db.pool, both)).to.deep.equal(alone);
  });

  it('waits out a sink that cannot be reached, parks nothing and goes on at the checkpoints', async () => {
    const real = postgresRowSink({ pool: db.pool });
    let calls = 0;
    const failing = async (): Promise<void> => {
      calls += 1;
      if (calls === 2 || calls === 3) throw new StreamError('unavailable', 'gone');
    };
    const sink: RowSink = {
      ...real,
      apply: async (projector, step) => {
        await failing();
        return await real.apply(projector, step);
      },
      applyAll: async (projector, steps) => {
        await failing();
        return await real.applyAll(projector, steps);
      },
    };
    const retries: number[] = [];
    const halts = await run(chainsOf(chain(ACME, mixture(30)), chain(GLOBEX, mixture(30))), {
      sink,
      batchSize: 7,
      onRetry: (_error, delayMs) => retries.push(delayMs),
    });
    expect(halts).to.deep.equal([]);
    expect(retries).to.deep.equal([50, 100]);
    expect(await position('tally', 'globex')).to.deep.equal({ seq: 30, status: 'running' });
  });

  it('throws, instead of trying for ever, when waiting cannot help', async () => {
    await db.owner.query('DROP TABLE projections.log_v1 CASCADE');
    const outcome = await run(chainsOf(chain(ACME, mixture(3)))).catch((error: unknown) => error);
    expect(outcome).to.be.instanceOf(StreamError).with.property('code', 'schema-mismatch');
    expect(await position('tally', 'acme'), 'the sibling finished its batch').to.deep.equal({
      seq: 3,
      status: 'running',
    });
  });

  it('finishes the batch in hand when told to stop', async () => {
    const stop = new AbortController();
    await run(chainsOf(chain(ACME, mixture(30))), {
      signal: stop.signal,
      untilCaughtUp: false,
      batchSize: 10,
      onBatch: ({ seq }) => (seq === 20 ? stop.abort() : undefined),
    });
    expect(await position('tally', 'acme')).to.deep.equal({ seq: 20, status: 'running' });
    expect(await position('log', 'acme')).to.deep.equal({ seq: 20, status: 'running' });
  });

  it('takes in facts and tenants that come later, and one that was resumed meanwhile', async () => {
    const stop = new AbortController();
    const late = tenantId('late-one');
    const chains = new Map([[ACME, chain(ACME, [counted(['ada']), poison('bob')])]]);
    let mended = false;
    const lenient = (recorded: Parameters<typeof decode>[0]): Fact => {
      const fact = decode(recorded);
      return mended ? ({ ...fact, data: { names: ['bob'], by: 1 } } as Fact) : fact;
    };
    const running = run(chains, {
      signal: stop.signal,
      untilCaughtUp: false,
      decode: lenient,
      resumeCheckMs: 20,
    });
    await until(
      async () =>
        (await db.pool.query(`SELECT FROM projections.checkpoints WHERE status = 'halted'`)).rowCount === 1,
    );
    chains.set(late, chain(late, [counted(['eve'])]));
    await until(async () => (await totals(late)).length === 1);
    mended = true;
    await resumeHalted(db.pool, 'tally', ACME);
    await until(async () => (await totals('acme')).length === 2);
    stop.abort();
    expect(await running).to.have.length(1);
  });

  it('starts a read model that is new from the beginning, beside one that has come far', async () => {
    const chains = chainsOf(chain(ACME, mixture(40)));
    await run(chains, { projectors: [log] });
    await run(chains);
    const together = await dump(db.pool, both);
    await db.owner.query('TRUNCATE projections.tally_v1, projections.log_v1, projections.checkpoints');
    await run(chains, { projectors: [tally, log] });
    expect(together).to.deep.equal(await dump(db.pool, both));
  });
});

// Random, because PostgreSQL compresses before it measures.
function longText(): string {
  let state = 7;
  return Array.from({ length: 9000 }, () => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return String.fromCharCode(33 + ((state >> 8) % 90));
  }).join('');
}

const until = async (condition: () => Promise<boolean>): Promise<void> => {
  for (let look = 0; look < 400; look += 1) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('this did not come about in 4 seconds');
};
