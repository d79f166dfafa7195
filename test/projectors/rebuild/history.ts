// A real ledger with small read models in it: what the tests of rebuilds are given.
import { randomUUID } from 'node:crypto';
import type { AnyProjector } from '#projectors/batch.ts';
import { ensureReadModels, PROJECTION_MIGRATIONS } from '#projectors/postgres/read-models.ts';
import {
  type RebuildOptions,
  type RebuildProved,
  type Rebuilt,
  rebuild,
} from '#projectors/postgres/rebuild/rebuild.ts';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { sourceDigests } from '#projectors/postgres/source.ts';
import { runProjectors } from '#projectors/run.ts';
import type { FactId, Instant, TenantId } from '#schemas/ids.ts';
import { connect, type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { LEDGER_MIGRATIONS, migrate } from '#streams/postgres/migrate.ts';
import { type PostgresStore, postgresStreamStore } from '#streams/postgres/store.ts';
import type { StreamFeed } from '#streams/stream.ts';
import { freshDatabase } from '#test/support/postgres.ts';
import { testSigner } from '#test/support/test-signer.ts';
import type { Said } from '../chains.ts';
import { both, decode, TABLES } from '../tally.ts';

export interface History extends AsyncDisposable {
  readonly url: string;
  readonly owner: Pool;
  readonly pool: Pool;
  readonly store: PostgresStore;
  readonly feed: StreamFeed;
  /** Every proof that was to be recorded. */
  readonly proved: RebuildProved[];
  /** Records statements of a tenant, which is made with the first ones. */
  readonly say: (tenant: TenantId, statements: readonly Said[]) => Promise<void>;
  /** Brings the live builds to the head. */
  readonly follow: (projectors?: readonly AnyProjector[]) => Promise<void>;
  readonly rebuild: (projector: AnyProjector, over?: Partial<RebuildOptions>) => Promise<Rebuilt>;
  /** The rows that the view shows, as texts in a fixed order. */
  readonly shown: (name: string) => Promise<readonly string[]>;
}

export interface HistoryOptions {
  readonly projectors?: readonly AnyProjector[];
  readonly folder?: URL;
  /** Of a ledger that is there already. */
  readonly url?: string;
}

export const history = async ({
  projectors = both,
  folder = TABLES,
  url,
}: HistoryOptions = {}): Promise<History> => {
  const database = url === undefined ? await freshDatabase() : undefined;
  const at = url ?? (database?.url as string);
  const owner = connect({ url: at, max: 2 });
  const pool = connect({ url: at, max: 8, role: RUNTIME_ROLE });
  if (database) {
    await migrate(owner, [LEDGER_MIGRATIONS, PROJECTION_MIGRATIONS]);
    await ensureReadModels(owner, projectors, folder);
  }
  const store = await postgresStreamStore({ pool, ...testSigner() });
  const feed = postgresStreamFeed({ pool, pollMs: 50 });
  const proved: RebuildProved[] = [];
  return {
    url: at,
    owner,
    pool,
    store,
    feed,
    proved,
    say: (tenant, statements) => say(store, tenant, statements),
    follow: async (some = projectors) =>
      await runProjectors({
        feed,
        sink: postgresRowSink({ pool, sources: await sourceDigests(some, folder) }),
        projectors: some,
        decode,
        signal: new AbortController().signal,
        untilCaughtUp: true,
      }),
    rebuild: (projector, over = {}) =>
      rebuild({
        pool,
        store,
        feed,
        projector,
        folder,
        decode,
        attest: async (what) => void proved.push(what),
        ...over,
      }),
    shown: async (name) =>
      (
        await pool.query<{ line: string }>(
          `SELECT t::text AS line FROM views.${name} t ORDER BY t::text COLLATE "C"`,
        )
      ).rows.map(({ line }) => line),
    [Symbol.asyncDispose]: async () => {
      await feed[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
      await Promise.all([owner.end(), pool.end()]);
      await database?.[Symbol.asyncDispose]();
    },
  };
};

const say = async (store: PostgresStore, tenant: TenantId, statements: readonly Said[]): Promise<void> => {
  let exists = (await store.head(tenant)) !== undefined;
  for (let from = 0; from < statements.length; from += 500) {
    const drafts = statements
      .slice(from, from + 500)
      .map(({ type, data = {}, payload = JSON.stringify(data) }) => ({
        id: randomUUID() as string as FactId,
        type,
        schemaVersion: 1,
        payload,
        occurredAt: Date.UTC(2026, 10, 1) as Instant,
        actor: 'test',
      }));
    const result = await store.append({ tenant, drafts, expect: { kind: exists ? 'any' : 'new-tenant' } });
    if (result.kind !== 'appended') throw new Error(`not recorded: ${result.kind}`);
    exists = true;
  }
};
