// A ledger on a durable embedded server (fsync on), for benchmarks.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommand } from '#commands/run.ts';
import { tenants } from '#commands/tenants.ts';
import { MIGRATIONS } from '#deploy/processes/ledger/database.ts';
import { projectors } from '#projectors/index.ts';
import { ensureReadModels } from '#projectors/postgres/read-models.ts';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { runProjectors } from '#projectors/run.ts';
import { type LocalKeys, localKeys } from '#proofs/keys/local.ts';
import { type Instant, tenantId } from '#schemas/ids.ts';
import { connect, type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { migrate } from '#streams/postgres/migrate.ts';
import {
  type PostgresStore,
  type PostgresStoreOptions,
  postgresStreamStore,
} from '#streams/postgres/store.ts';
import { freshDatabase } from '#test/support/postgres.ts';

export interface BenchLedger extends AsyncDisposable {
  readonly url: string;
  /** The schema's owner. */
  readonly owner: Pool;
  /** As the program runs. */
  readonly pool: Pool;
  readonly keys: LocalKeys;
  readonly store: PostgresStore;
}

export const benchLedger = async (options: Partial<PostgresStoreOptions> = {}): Promise<BenchLedger> => {
  const database = await freshDatabase({ durable: true });
  const owner = connect({ url: database.url, max: 2 });
  await migrate(owner, MIGRATIONS);
  await ensureReadModels(owner, projectors);
  const pool = connect({ url: database.url, role: RUNTIME_ROLE });
  const folder = await mkdtemp(join(tmpdir(), 'prov-ledger-bench-'));
  const keys = await localKeys({ folder });
  const store = await postgresStreamStore({ pool, signer: keys.signer, ...options });
  return {
    url: database.url,
    owner,
    pool,
    keys,
    store,
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      await pool.end();
      await owner.end();
      await database[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
};

export const createTenant = async ({ store }: Pick<BenchLedger, 'store'>, name: string): Promise<void> => {
  const context = {
    tenant: tenantId(name),
    actor: 'bench',
    at: Date.now() as Instant,
    key: `create ${name}`,
  };
  const outcome = await runCommand(
    { store, decider: tenants },
    { type: 'CreateTenant', displayName: name },
    context,
  );
  if (outcome.kind !== 'recorded') throw new Error(`${name}: ${JSON.stringify(outcome)}`);
};

/** Brings all read models to the head. */
export const catchUp = async ({ pool }: Pick<BenchLedger, 'pool'>): Promise<void> => {
  await using feed = postgresStreamFeed({ pool, pollOnly: true });
  const signal = new AbortController().signal;
  await runProjectors({
    feed,
    sink: postgresRowSink({ pool }),
    projectors,
    signal,
    untilCaughtUp: true,
    batchSize: 20_000,
  });
};
