// Many requests of many tenants in one go, over several databases. The caller's own part is at home: it begins there,
// and while its transaction is open each other database takes its tenants' requests in one of its own; then the home
// takes the rest, and the caller's part ends. So whoever may not go on is told before anything is stored, and what a
// crash leaves stored elsewhere is met again by its ids when the same work is done once more.
import type { TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import type { Client } from '#streams/postgres/connect.ts';
import type { Fate, Together, TogetherWork } from '#streams/postgres/together.ts';
import { type Routing, routing, type Shard } from './routing.ts';

export interface ShardedTogetherOptions {
  readonly shards: ReadonlyMap<Shard, Together>;
  /** Where the caller's own part is. */
  readonly home: Together;
  /** Asked of the ledger. Throws `StreamError`. */
  readonly placementOf: (tenant: TenantId) => Promise<Shard>;
}

/** `commit` throws `StreamError` `moving` for a tenant that moves: the same work goes in a moment later. */
export const shardedTogether = ({ shards, home, placementOf }: ShardedTogetherOptions): Together => {
  const routes = routing(shards, placementOf);
  const knows = async (tenant: TenantId): Promise<boolean> =>
    (await routes.asking(tenant, async (shard) =>
      (await shard.known([tenant])).has(tenant) ? shard : undefined,
    )) !== undefined;
  return {
    known: async (tenants) => {
      const known = new Set<TenantId>();
      for (const tenant of new Set(tenants)) if (await knows(tenant)) known.add(tenant);
      return known;
    },
    commit: async (work) => {
      const { own, others } = await partsOf(work, routes, home);
      try {
        return await commitParts(work, own, others);
      } catch (error) {
        // The placement that was known is of before the move.
        if (error instanceof StreamError && error.code === 'moving')
          for (const { tenant } of [...work.requests, ...work.expects]) routes.forget(tenant);
        throw error;
      }
    },
  };
};

/** What one database has of the work. */
interface Part {
  readonly together: Together;
  readonly requests: TogetherWork['requests'][number][];
  /** The places of the requests in the work. */
  readonly places: number[];
  readonly expects: TogetherWork['expects'][number][];
}

interface Parts {
  readonly own: Part;
  readonly others: readonly Part[];
}

const partsOf = async (
  { requests, expects }: TogetherWork,
  { storeOf }: Routing<Together>,
  home: Together,
): Promise<Parts> => {
  const parts = new Map<Together, Part>();
  const partFor = (together: Together): Part => {
    const part = parts.get(together) ?? { together, requests: [], places: [], expects: [] };
    parts.set(together, part);
    return part;
  };
  const own = partFor(home);
  for (const [place, request] of requests.entries()) {
    const part = partFor(await storeOf(request.tenant));
    part.requests.push(request);
    part.places.push(place);
  }
  for (const expected of expects) partFor(await storeOf(expected.tenant)).expects.push(expected);
  return { own, others: [...parts.values()].filter((part) => part !== own) };
};

const commitParts = async (
  work: TogetherWork,
  own: Part,
  others: readonly Part[],
): Promise<readonly Fate[] | undefined> => {
  const fates = new Map<number, Fate>();
  const take = (part: Part, its: readonly Fate[]): void => {
    for (const [index, place] of part.places.entries()) fates.set(place, its[index] as Fate);
  };
  const inOrder = (): readonly Fate[] => work.requests.map((_, place) => fates.get(place) as Fate);
  let elsewhere = false;
  const committed = await own.together.commit({
    ...work,
    requests: own.requests,
    expects: own.expects,
    before: async (client: Client) => {
      if (!(await work.before(client))) return false;
      // The home's part may be run again after a lost race: what the others said the first time stands.
      elsewhere ||= await commitOthers(work, others, take);
      return elsewhere;
    },
    after: async (client, its) => {
      take(own, its);
      await work.after(client, inOrder());
    },
  });
  return committed && inOrder();
};

/** False where a stream has moved that a part was decided from. */
const commitOthers = async (
  { onTaken }: TogetherWork,
  others: readonly Part[],
  take: (part: Part, fates: readonly Fate[]) => void,
): Promise<boolean> => {
  for (const part of others) {
    const { together, requests, expects } = part;
    const fates = await together.commit({
      requests,
      expects,
      ...(onTaken && { onTaken }),
      before: async () => true,
      after: async () => undefined,
    });
    if (!fates) return false;
    take(part, fates);
  }
  return true;
};
