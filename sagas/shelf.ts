// What the runner needs of the place where sagas are kept: how far each has come with each tenant, and the states of its
// instances; both change together, or not at all.
import type { ChainPosition } from '#proofs/chain.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import type { AnySaga } from './saga.ts';

/** The fact that a saga did not take, and what was wrong. */
export interface Parked {
  readonly seq: Seq;
  readonly id: string;
  readonly message: string;
}

/** How far one saga has come with one tenant: the hash stands for all facts up to it. With `parked` it has halted there. */
export interface SagaPosition extends ChainPosition {
  readonly tenant: TenantId;
  /** Up to here it folds and is silent. */
  readonly mutedTo: Seq;
  readonly parked?: Parked | undefined;
}

export interface SagaStep {
  readonly tenant: TenantId;
  /** Where the saga must stand. */
  readonly from: ChainPosition;
  readonly to: ChainPosition;
  /** States as they are now, by their keys. */
  readonly states: ReadonlyMap<string, unknown>;
  /** The fact after `to` cannot be taken: halt. */
  readonly parked?: Parked | undefined;
}

export interface SagaShelf {
  /**
   * Says, once for each version of a saga, from where on it speaks: after what its version before had come to, or else
   * after what the ledger holds at this moment. Tenants that come later are heard from their first fact.
   */
  install(saga: AnySaga): Promise<void>;
  positions(saga: AnySaga, tenant?: TenantId): Promise<readonly SagaPosition[]>;
  states(saga: AnySaga, tenant: TenantId, keys: readonly string[]): Promise<ReadonlyMap<string, unknown>>;
  /** `overtaken`: another process has moved it, or it has halted; nothing was changed. Throws `StreamError`. */
  save(saga: AnySaga, step: SagaStep): Promise<'saved' | 'overtaken'>;
  /** Lets one that has halted try the same fact again; false where it has not halted. */
  resume(saga: AnySaga, tenant: TenantId): Promise<boolean>;
}
