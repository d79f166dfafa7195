// The databases of a ledger: its home, and the others that PROV_LEDGER_SHARDS names. Whoever is handed what is opened here
// need not know how many there are.
import type { MovableShard } from '#gateway/tenancy/move.ts';
import { readPlacement } from '#gateway/tenancy/placement.ts';
import { placeRestored } from '#gateway/tenancy/restored.ts';
import type { Signer } from '#proofs/keys/signer.ts';
import type { Instant, TenantId } from '#schemas/ids.ts';
import { HOME } from '#schemas/placements.ts';
import { StreamError } from '#streams/errors.ts';
import { joinLedger, postgresShareTaker } from '#streams/postgres/arrival.ts';
import { connect, type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { type LedgerDatabases, oneDatabase } from '#streams/postgres/databases.ts';
import { belongingsIn } from '#streams/postgres/departure.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { tenantFence } from '#streams/postgres/moves.ts';
import {
  type PostgresStore,
  type PostgresStoreOptions,
  postgresStreamStore,
} from '#streams/postgres/store.ts';
import { appendTogether, type Together } from '#streams/postgres/together.ts';
import { shardedStreamFeed } from '#streams/sharded/feed.ts';
import { shardedStreamStore } from '#streams/sharded/store.ts';
import { shardedTogether } from '#streams/sharded/together.ts';
import type { StreamFeed } from '#streams/stream.ts';
import type { Configuration } from '../../configuration.ts';
import { migrateDatabase, prepareDatabase } from './database.ts';

export interface OpenDatabases extends AsyncDisposable {
  /** All of the ledger. */
  readonly store: PostgresStore;
  readonly databases: LedgerDatabases;
  /** A feed of all of the ledger, or of the tenants for which `only` is true; it is the caller's to close. */
  readonly feed: (only?: (tenant: TenantId) => boolean) => StreamFeed;
  readonly together: () => Together;
  /** By name, the home too. */
  readonly movable: ReadonlyMap<string, MovableShard>;
}

/** As the home's store is opened, but for its pool. */
type Storing = Omit<PostgresStoreOptions, 'pool'> & { readonly signer: Signer };

/** `home` stays the caller's to close. Throws `StreamError`. */
export const openDatabases = async (
  { shards, poolSize }: Pick<Configuration, 'shards' | 'poolSize'>,
  home: Pool,
  storing: Storing,
): Promise<OpenDatabases> => {
  await using opening = new AsyncDisposableStack();
  const stored = opening.use(await postgresStreamStore({ ...storing, pool: home }));
  if (shards.length === 0) {
    const open = opening.move();
    return {
      store: stored,
      databases: oneDatabase(home),
      feed: (only) => postgresStreamFeed({ pool: home, only }),
      together: () => togetherOn(home, stored.ledgerId, storing),
      movable: byName([{ shard: HOME, pool: home, store: stored }], movable),
      [Symbol.asyncDispose]: () => open.disposeAsync(),
    };
  }
  const opened = [{ shard: HOME, pool: home, store: stored }];
  for (const { name, url } of shards) {
    await prepareDatabase({ url, embedded: false, [Symbol.asyncDispose]: async () => undefined });
    const pool = connect({ url, max: poolSize, role: RUNTIME_ROLE, name: `prov-ledger ${name}` });
    opening.defer(() => pool.end());
    opened.push({
      shard: name,
      pool,
      store: opening.use(await postgresStreamStore({ ...storing, pool })),
    });
  }
  const open = opening.move();
  return { ...several(opened, storing), [Symbol.asyncDispose]: () => open.disposeAsync() };
};

interface OpenShard {
  readonly shard: string;
  readonly pool: Pool;
  readonly store: PostgresStore;
}

const togetherOn = (pool: Pool, ledgerId: string, { signer }: Pick<Storing, 'signer'>): Together =>
  appendTogether({ pool, ledgerId, signer });

const byName = <T>(opened: readonly OpenShard[], of: (shard: OpenShard) => T): ReadonlyMap<string, T> =>
  new Map(opened.map((each) => [each.shard, of(each)]));

/** The home first. */
const several = (
  opened: readonly OpenShard[],
  storing: Storing,
): Omit<OpenDatabases, typeof Symbol.asyncDispose> => {
  const [home] = opened as readonly [OpenShard];
  const placementOf = async (tenant: TenantId): Promise<string> =>
    (await readPlacement(home.store, tenant)).shard;
  const databaseNamed = byName(opened, (each) => each);
  const store = shardedStreamStore({ shards: byName(opened, ({ store: its }) => its), placementOf });
  const stores = opened.map(({ store: its }) => its);
  return {
    store: {
      ...store,
      queuedFacts: () => stores.reduce((sum, each) => sum + each.queuedFacts(), 0),
      queueLoad: () => Math.max(...stores.map((each) => each.queueLoad())),
    },
    databases: {
      home,
      all: opened,
      of: async (tenant) => databaseNamed.get(await placementOf(tenant)) ?? unnamed(tenant),
    },
    feed: (only) => shardedStreamFeed(opened.map(({ pool }) => postgresStreamFeed({ pool, only }))),
    together: () => {
      const all = byName(opened, ({ pool }) => togetherOn(pool, store.ledgerId, storing));
      return shardedTogether({ shards: all, home: all.get(HOME) as Together, placementOf });
    },
    movable: byName(opened, movable),
  };
};

const unnamed = (tenant: TenantId): never => {
  throw new StreamError(
    'unavailable',
    `${tenant} is placed on a server that PROV_LEDGER_SHARDS does not name here`,
  );
};

const movable = ({ store, pool }: OpenShard): MovableShard => ({
  store,
  belongingsOf: belongingsIn(pool, store.ledgerId),
  taker: postgresShareTaker(pool, store.ledgerId),
  fence: tenantFence(pool),
});

/** Gives each of them the schema, and an empty one the ledger's id. Throws `CarryError` where one has another ledger. */
export const prepareShards = async (
  { shards }: Pick<Configuration, 'shards'>,
  homeUrl: string,
): Promise<void> => {
  if (shards.length === 0) return;
  const home = connect({ url: homeUrl, max: 1, name: 'prov-ledger migrate' });
  try {
    const { rows } = await home.query<{ id: string }>('SELECT id FROM ledger.identity');
    for (const { url } of shards) {
      await migrateDatabase(url);
      const pool = connect({ url, max: 1, name: 'prov-ledger migrate' });
      try {
        await joinLedger(pool, rows[0]?.id ?? '');
      } finally {
        await pool.end();
      }
    }
  } finally {
    await home.end();
  }
};

export interface PlacingTenants {
  /** Of the home. */
  readonly url: string;
  readonly signer: Signer;
  readonly actor: string;
}

/** Of a ledger that was brought to its home whole, where each tenant is from now on. Throws `CarryError`, `StreamError`. */
export const placeTenants = async (
  configuration: Pick<Configuration, 'shards' | 'poolSize'>,
  { url, signer, actor }: PlacingTenants,
): Promise<void> => {
  await prepareShards(configuration, url);
  await using stack = new AsyncDisposableStack();
  const pool = connect({ url, max: 3, role: RUNTIME_ROLE, name: actor });
  stack.defer(() => pool.end());
  const { movable } = stack.use(await openDatabases(configuration, pool, { signer }));
  const home = stack.use(await postgresStreamStore({ pool, signer }));
  await placeRestored({ shards: movable, home, actor, now: Date.now as () => Instant });
};
