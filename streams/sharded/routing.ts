// Which store has a tenant: as the placement says, and as it was last known.
import type { TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';

/** The name of a store among those of one ledger. */
export type Shard = string;

export interface Routing<S> {
  /** Throws `StreamError` `unavailable` where the placement names no store here. */
  readonly storeOf: (tenant: TenantId) => Promise<S>;
  /** The placement is asked for again. */
  readonly forget: (tenant: TenantId) => void;
  /** Asks the placed store; when it has nothing, and the placement has changed, the other one. */
  readonly asking: <T>(tenant: TenantId, ask: (store: S) => Promise<T | undefined>) => Promise<T | undefined>;
}

const TENANTS_KNOWN_MAX = 100_000;

export const routing = <S>(
  shards: ReadonlyMap<Shard, S>,
  placementOf: (tenant: TenantId) => Promise<Shard>,
): Routing<S> => {
  const known = new Map<TenantId, Shard>();
  const forget = (tenant: TenantId): void => {
    known.delete(tenant);
  };
  const storeOf = async (tenant: TenantId): Promise<S> => {
    const shard = known.get(tenant) ?? (await placementOf(tenant));
    if (known.size >= TENANTS_KNOWN_MAX) known.delete(known.keys().next().value as TenantId);
    known.set(tenant, shard);
    const store = shards.get(shard);
    if (store) return store;
    known.delete(tenant);
    throw new StreamError(
      'unavailable',
      `${tenant} is placed on ${shard}, which is none of the stores here: name it in the configuration`,
    );
  };
  return {
    storeOf,
    forget,
    asking: async (tenant, ask) => {
      const asked = await storeOf(tenant);
      const found = await ask(asked);
      if (found !== undefined) return found;
      forget(tenant);
      const now = await storeOf(tenant);
      return now === asked ? undefined : await ask(now);
    },
  };
};
