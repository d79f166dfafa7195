// What verification and export both read of a stored chain beside the facts of their range.
import { CHAIN_START, type ChainPosition } from '#proofs/chain.ts';
import type { Seq, Sha256, TenantId } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';

type Read = Pick<StreamStore, 'read'>;

/** The place before `from`; its own soundness is not in question here, but what follows must link to it. */
export const placeBefore = async (store: Read, tenant: TenantId, from: Seq): Promise<ChainPosition> => {
  if (from <= 1) return CHAIN_START;
  const before = (from - 1) as Seq;
  for await (const [fact] of store.read(tenant, { from: before, to: before })) {
    if (fact) return { seq: fact.seq, hash: fact.hash, recordedAt: fact.recordedAt };
  }
  return { ...CHAIN_START, seq: before };
};

interface Places {
  readonly firstSeq: number;
  readonly count: number;
}

export const hashesOf = async (
  store: Read,
  tenant: TenantId,
  { firstSeq, count }: Places,
): Promise<readonly Sha256[]> => {
  const hashes: Sha256[] = [];
  if (count === 0) return hashes;
  for await (const page of store.read(tenant, { from: firstSeq as Seq, to: (firstSeq + count - 1) as Seq })) {
    for (const fact of page) hashes.push(fact.hash);
  }
  return hashes;
};
