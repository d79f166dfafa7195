// The databases of a ledger on several servers, opened beside its home.
import type { MovableShard } from '#gateway/tenancy/move.ts';
import { readPlacement } from '#gateway/tenancy/placement.ts';
import type { Signer } from '#proofs/keys/signer.ts';
import { HOME } from '#schemas/placements.ts';
import { joinLedger, postgresShareTaker } from '#streams/postgres/arrival.ts';
import { connect, type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { belongingsIn } from '#streams/postgres/departure.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { tenantFence } from '#streams/postgres/moves.ts';
import {
  type PostgresStore,
  type PostgresStoreOptions,
  postgresStreamStore,
} from '#streams/postgres/store.ts';
import { shardedStreamFeed } from '#streams/sharded/feed.ts';
import { shardedStreamStore } from '#streams/sharded/store.ts';
import type { StreamFeed } from '#streams/stream.ts';
import type { Configuration } from '../configuration.ts';
import { migrateDatabase, prepareDatabase } from './database.ts';

export interface OpenShards extends AsyncDisposable {
  /** All of the ledger, the home's tenants too. */
  readonly store: PostgresStore;
  readonly feed: (home: StreamFeed) => StreamFeed;
  readonly movable: ReadonlyMap<string, MovableShard>;
}

export interface Home {
  readonly pool: Pool;
  readonly store: PostgresStore;
  /** As the home's store was opened, but for its pool. */
  readonly options: Omit<PostgresStoreOptions, 'pool'> & { readonly signer: Signer };
}

/** Nothing where the ledger is on one server. Throws `StreamError`. */
export const openShards = async (
  { shards, poolSize }: Pick<Configuration, 'shards' | 'poolSize'>,
  { pool: homePool, store: home, options }: Home,
): Promise<OpenShards | undefined> => {
  if (shards.length === 0) return undefined;
  await using opening = new AsyncDisposableStack();
  const pools = new Map([[HOME, homePool]]);
  const stores = new Map([[HOME, home]]);
  for (const { name, url } of shards) {
    await prepareDatabase({ url, embedded: false, [Symbol.asyncDispose]: async () => undefined });
    const pool = connect({ url, max: poolSize, role: RUNTIME_ROLE, name: `prov-ledger ${name}` });
    opening.defer(() => pool.end());
    pools.set(name, pool);
    stores.set(name, opening.use(await postgresStreamStore({ ...options, pool })));
  }
  const store = shardedStreamStore({
    shards: stores,
    placementOf: async (tenant) => (await readPlacement(home, tenant)).shard,
  });
  const open = opening.move();
  const all = [...stores.values()];
  return {
    store: {
      ...store,
      queuedFacts: () => all.reduce((sum, each) => sum + each.queuedFacts(), 0),
      queueLoad: () => Math.max(...all.map((each) => each.queueLoad())),
    },
    feed: (homeFeed) => {
      const others = [...pools].filter(([name]) => name !== HOME);
      return shardedStreamFeed([homeFeed, ...others.map(([, pool]) => postgresStreamFeed({ pool }))]);
    },
    movable: new Map([...stores].map(([name, its]) => [name, movable(its, pools.get(name) as Pool)])),
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
};

const movable = (store: PostgresStore, pool: Pool): MovableShard => ({
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
