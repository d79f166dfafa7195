// Which partition a tenant's facts are in: murmur2 of its name, as Java's clients have it, so that tools that write or
// look by key agree with the ledger.
import { Partitioners } from 'kafkajs';
import type { TenantId } from '#schemas/ids.ts';

/** The tenants' partitions in a topic of so many. */
export const partitionOf = (partitions: number): ((tenant: TenantId) => number) => {
  const partitioner = Partitioners.DefaultPartitioner();
  const partitionMetadata = Array.from({ length: partitions }, (_, partitionId) => ({
    partitionId,
    partitionErrorCode: 0,
    leader: 0,
    replicas: [],
    isr: [],
  }));
  const known = new Map<TenantId, number>();
  return (tenant) => {
    const found = known.get(tenant);
    if (found !== undefined) return found;
    const partition = partitioner({ topic: '', partitionMetadata, message: { key: tenant, value: null } });
    known.set(tenant, partition);
    return partition;
  };
};
