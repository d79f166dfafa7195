// The facts that a read model passes over, as decided in the tenant's own chain: so every fold of that chain, live,
// rebuilt or replayed, passes over the same ones.
import { type Seq, streamName, type TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import type { StreamStore } from '#streams/stream.ts';

export const skipsIn =
  (store: Pick<StreamStore, 'readStream'>) =>
  async (projection: string, tenant: TenantId): Promise<ReadonlySet<Seq>> => {
    const skipped = new Set<Seq>();
    for (const recorded of await store.readStream(tenant, streamName('projections', projection))) {
      const fact = decodeFact(recorded);
      if (fact.type === 'projections.FactSkipped') skipped.add(fact.data.seq as Seq);
    }
    return skipped;
  };
