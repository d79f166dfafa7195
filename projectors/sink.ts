// What the runner needs of the place where rows are kept: to know how far each read model has come, and to take one
// step forward with rows and checkpoint together, or not at all.
import { CHAIN_START, type ChainPosition } from '#proofs/chain.ts';
import type { Fact, Recorded } from '#schemas/event.ts';
import type { Instant, Seq, TenantId } from '#schemas/ids.ts';
import type { AnyProjector } from './batch.ts';

/** Why a read model halted: the fact it did not take, and what was wrong. */
export interface HaltCause {
  readonly seq: Seq;
  readonly id: string;
  readonly message: string;
}

/**
 * Why nobody may take a read model further now. `paused`: on somebody's word. `changed`: its rows were made by a
 * projector with another source; the two are never mixed.
 */
export type Held = 'paused' | 'changed';

/** How far one read model has come with one tenant: the hash stands for all facts up to it. With a `fault` it has halted there. */
export interface Checkpoint extends ChainPosition {
  readonly tenant: TenantId;
  readonly fault?: HaltCause | undefined;
  readonly held?: Held | undefined;
}

export interface Step {
  readonly tenant: TenantId;
  /** Where the checkpoint must stand. */
  readonly from: ChainPosition;
  /** Where it will stand: the last fact read, whether or not the read model handles it. */
  readonly to: ChainPosition;
  /** The facts between the two that the read model handles. */
  readonly facts: readonly Fact[];
  /** The fact after `to` cannot be taken: halt. */
  readonly fault?: HaltCause | undefined;
}

export type StepResult =
  | { readonly kind: 'applied' }
  /** The checkpoint stands elsewhere, or has halted; read it again. Nothing was changed. */
  | { readonly kind: 'overtaken' }
  /** The rows cannot be made or kept: because of `fact`, or when absent because of one of the step's. Nothing was changed. */
  | { readonly kind: 'refused'; readonly error: Error; readonly fact?: Fact };

export interface RowSink {
  /** The checkpoints of a read model, of all tenants or of one; those that never took a step are not there. */
  checkpoints(projector: AnyProjector, tenant?: TenantId): Promise<readonly Checkpoint[]>;
  held(projector: AnyProjector): Promise<Held | undefined>;
  /** Facts of the tenant that this read model passes over, because somebody decided so (with a reason, in the ledger). */
  skips(projector: AnyProjector, tenant: TenantId): Promise<ReadonlySet<Seq>>;
  /** Throws `StreamError` when infrastructure failed: it is then unknown whether the step was taken. */
  apply(projector: AnyProjector, step: Step): Promise<StepResult>;
  /** Steps of different tenants, each by itself taken or not, in as few transactions as may be. */
  applyAll(projector: AnyProjector, steps: readonly Step[]): Promise<readonly StepResult[]>;
}

/** Where every read model begins with every tenant. */
export const beginning = (tenant: TenantId): Checkpoint => ({
  tenant,
  ...CHAIN_START,
  recordedAt: 0 as Instant,
});

export const positionOf = ({ seq, hash, recordedAt }: Recorded): ChainPosition => ({ seq, hash, recordedAt });
