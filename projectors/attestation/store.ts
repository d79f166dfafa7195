// What attestation asks of a store that holds the outcome of a route: how far it is, its elements by the facts that
// brought them in, and its elements by key.
import type { ChainPosition } from '#proofs/chain.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import type { CanonicalElement, Ends } from './element.ts';

export interface AttestedStore {
  /** `postgres`, `neo4j`. */
  readonly name: string;
  /** The checkpoint; `undefined` before the first step. Throws `StreamError`, as all of these. */
  readonly position: (tenant: TenantId) => Promise<Pick<ChainPosition, 'seq' | 'hash'> | undefined>;
  /** The elements that the facts `from` to `to` (inclusive) brought in, in whatever order. */
  readonly range: (tenant: TenantId, from: Seq, to: Seq) => Promise<readonly CanonicalElement[]>;
  /** Elements by their ends, wherever they say they came from; one that is not there is not in the answer. */
  readonly find: (tenant: TenantId, ends: readonly Ends[]) => Promise<readonly CanonicalElement[]>;
  /** Elements that no fact up to `to` can have brought in, for want of a place or with a later one. */
  readonly strays: (tenant: TenantId, to: Seq) => Promise<readonly CanonicalElement[]>;
}
