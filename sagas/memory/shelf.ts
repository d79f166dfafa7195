// The shelf in memory, for tests and simulations: the same answers as the one in PostgreSQL, and as little patience.
import { CHAIN_START } from '#proofs/chain.ts';
import type { Instant, Seq, TenantId } from '#schemas/ids.ts';
import type { AnySaga } from '../saga.ts';
import type { SagaPosition, SagaShelf } from '../shelf.ts';

interface Kept {
  readonly positions: Map<TenantId, SagaPosition>;
  /** As text, so that nobody can change a state that is kept. */
  readonly states: Map<string, string>;
}

/** `heads`: what the ledger holds at this moment. */
export const memorySagaShelf = (
  heads: () => Promise<readonly { readonly tenant: TenantId; readonly seq: Seq }[]>,
): SagaShelf => {
  const shelves = new Map<string, Kept>();
  const nameOf = ({ name, version }: AnySaga): string => `${name} v${version}`;
  const kept = (saga: AnySaga): Kept =>
    shelves.get(nameOf(saga)) ?? { positions: new Map(), states: new Map() };
  const at = (saga: AnySaga, tenant: TenantId): SagaPosition =>
    kept(saga).positions.get(tenant) ?? {
      tenant,
      ...CHAIN_START,
      recordedAt: 0 as Instant,
      mutedTo: 0 as Seq,
    };
  return {
    install: async (saga) => {
      if (shelves.has(nameOf(saga))) return;
      const before = Array.from({ length: saga.version - 1 }, (_, index) => index + 1)
        .map((version) => shelves.get(nameOf({ ...saga, version })))
        .findLast((each) => each !== undefined);
      const known = await heads();
      if (shelves.has(nameOf(saga))) return;
      shelves.set(nameOf(saga), { positions: new Map(), states: new Map() });
      for (const { tenant, seq } of known) {
        const mutedTo = before ? (before.positions.get(tenant)?.seq ?? (0 as Seq)) : seq;
        kept(saga).positions.set(tenant, { ...at(saga, tenant), mutedTo });
      }
    },
    positions: async (saga, tenant) =>
      [...kept(saga).positions.values()].filter((each) => tenant === undefined || each.tenant === tenant),
    states: async (saga, tenant, keys) =>
      new Map(
        keys.flatMap((key) => {
          const state = kept(saga).states.get(`${tenant} ${key}`);
          return state === undefined ? [] : [[key, JSON.parse(state) as unknown] as const];
        }),
      ),
    save: async (saga, { tenant, from, to, states, parked }) => {
      const now = at(saga, tenant);
      if (now.parked || now.seq !== from.seq || now.hash !== from.hash) return 'overtaken';
      kept(saga).positions.set(tenant, { tenant, ...to, mutedTo: now.mutedTo, parked });
      for (const [key, state] of states) kept(saga).states.set(`${tenant} ${key}`, JSON.stringify(state));
      return 'saved';
    },
    resume: async (saga, tenant) => {
      const now = at(saga, tenant);
      if (!now.parked) return false;
      kept(saga).positions.set(tenant, { ...now, parked: undefined });
      return true;
    },
  };
};
