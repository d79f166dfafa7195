// One StreamStore over several: each tenant is in the store that its placement names, and all of them are one ledger, under
// one id. A placement that is known may be old: a store that has not the tenant says so (`moving`, or that there is no such
// tenant), then the placement is asked for again. While a tenant moves, appends wait for the end of it.
import { setTimeout as pause } from 'node:timers/promises';
import type { TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import type { StreamStore } from '#streams/stream.ts';
import { type Routing, routing, type Shard } from './routing.ts';

export interface ShardedStoreOptions<S extends StreamStore> {
  /** By name; closed together with this store. */
  readonly shards: ReadonlyMap<Shard, S>;
  /** Where a tenant is by its placement, asked of the ledger. Throws `StreamError`. */
  readonly placementOf: (tenant: TenantId) => Promise<Shard>;
  /** How long an append waits for a tenant that moves; 10,000 unless told. */
  readonly waitForMs?: number;
}

const WAIT_MS = 10_000;

/** Throws `StreamError` `corrupt` where the stores are of several ledgers. */
export const shardedStreamStore = <S extends StreamStore>({
  shards,
  placementOf,
  waitForMs = WAIT_MS,
}: ShardedStoreOptions<S>): StreamStore => {
  const { ledgerId } = oneLedger(shards);
  const routes = routing(shards, placementOf);
  const { asking } = routes;
  const { append, end } = closing(appendPlaced(routes, waitForMs));
  const placed = async (tenant: TenantId): Promise<S | undefined> =>
    await asking(tenant, async (store) => ((await store.head(tenant)) ? store : undefined));
  return {
    ledgerId,
    append,
    head: (tenant) => asking(tenant, (store) => store.head(tenant)),
    heads: async () => {
      const all = await Promise.all([...shards.values()].map((store) => store.heads()));
      return all.flat().sort((one, other) => (one.tenant < other.tenant ? -1 : 1));
    },
    read: async function* (tenant, range) {
      const store = await placed(tenant);
      if (store) yield* store.read(tenant, range);
    },
    readStream: async (tenant, stream) => (await (await placed(tenant))?.readStream(tenant, stream)) ?? [],
    find: (tenant, id) => asking(tenant, (store) => store.find(tenant, id)),
    proof: (tenant, seq) => asking(tenant, (store) => store.proof(tenant, seq)),
    [Symbol.asyncDispose]: async () => {
      await end();
      for (const store of shards.values()) await store[Symbol.asyncDispose]();
    },
  };
};

const oneLedger = <S extends StreamStore>(shards: ReadonlyMap<Shard, S>): S => {
  const [[, first] = []] = shards;
  if (!first) throw new RangeError('a sharded store has one shard at least');
  for (const [shard, { ledgerId }] of shards)
    if (ledgerId !== first.ledgerId)
      throw new StreamError(
        'corrupt',
        `${shard} holds the ledger ${ledgerId}, the others hold ${first.ledgerId}`,
      );
  return first;
};

type Append = StreamStore['append'];

const appendPlaced =
  <S extends StreamStore>({ storeOf, forget }: Routing<S>, waitForMs: number): Append =>
  async (request) => {
    const { tenant } = request;
    const deadline = Date.now() + waitForMs;
    for (let delayMs = 10; ; delayMs = Math.min(delayMs * 2, 200)) {
      const store = await storeOf(tenant);
      try {
        const result = await store.append(request);
        if (result.kind !== 'no-such-tenant') return result;
        forget(tenant);
        if ((await storeOf(tenant)) === store) return result;
      } catch (error) {
        const waits = error instanceof StreamError && error.code === 'moving' && Date.now() < deadline;
        forget(tenant);
        if (!waits) throw error;
        await pause(delayMs);
      }
    }
  };

/** The same append, and an end after which it is refused; those under way are finished first. */
const closing = (append: Append): { readonly append: Append; readonly end: () => Promise<void> } => {
  const underWay = new Set<Promise<unknown>>();
  let closed = false;
  return {
    append: async (request) => {
      if (closed) throw new StreamError('closed', 'the store has been closed');
      const work = append(request);
      underWay.add(work);
      return await work.finally(() => underWay.delete(work));
    },
    end: async () => {
      closed = true;
      await Promise.allSettled(underWay);
    },
  };
};
