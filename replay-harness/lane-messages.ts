// What goes between the replay and its lanes: what a chunk came to, and what a lane must know to fold it.
import type { Row } from '#projectors/projector.ts';
import type { ChainFault, ChainPosition } from '#proofs/chain.ts';
import type { Recorded } from '#schemas/event.ts';
import type { Seq, Sha256, TenantId } from '#schemas/ids.ts';
import type { AgainKind, Expectation, FixtureHeader } from './fixtures/format.ts';
import type { Work } from './measures.ts';
import type { Subtree } from './merkle-range.ts';

export type ReplayFaultCode =
  | ChainFault
  /** The line is none that this place of the file may hold. */
  | 'malformed-line'
  /** A repetition is not the fact that stands at its place, or a conflict is. */
  | 'wrong-again'
  /** The store's batch does not cover the facts, or its signature does not hold. */
  | 'unsigned'
  /** Domain code asked for the clock, the locale or another thing that is not in the fact. */
  | 'impure';

export interface ReplayFault {
  readonly code: ReplayFaultCode;
  readonly message: string;
  readonly tenant?: TenantId;
  readonly seq?: Seq;
  readonly line?: number;
}

const EXPLAINED: { readonly [Code in ChainFault]: string } = {
  'wrong-tenant': 'it belongs to another tenant',
  'seq-gap': 'a fact is missing, repeated or out of order',
  'broken-link': 'it names another fact before it',
  'hash-mismatch': 'its content, or the facts before it, are not those that were hashed',
  'time-went-back': 'it was recorded before the fact before it',
};

export const chainFault = (
  code: ChainFault,
  { tenant, seq }: Pick<Recorded, 'tenant' | 'seq'>,
  { before, line }: { readonly before: Seq; readonly line: number },
): ReplayFault => ({
  code,
  tenant,
  seq,
  line,
  message: `line ${line}: fact ${seq} of ${tenant} does not follow on fact ${before}: ${EXPLAINED[code]}`,
});

/** One tenant's facts of a chunk: contiguous. */
export interface Segment {
  readonly tenant: TenantId;
  readonly firstSeq: Seq;
  readonly last: ChainPosition;
  readonly subtrees: readonly Subtree[];
  /** The facts' hashes, 32 bytes each. */
  readonly digests: Uint8Array<ArrayBuffer>;
}

export interface SaidAgain {
  readonly kind: AgainKind;
  readonly tenant: TenantId;
  readonly seq: Seq;
  readonly hash: Sha256;
  readonly line: number;
}

/** Rows of one read model that are never touched again. */
export interface Inserted {
  readonly model: number;
  readonly tenant: TenantId;
  /** Row hashes, 32 bytes each. */
  readonly hashes: Uint8Array<ArrayBuffer>;
  /** The rows themselves, each as the line that was hashed, where somebody wants to see them. */
  readonly lines?: readonly string[] | undefined;
}

export interface Poison {
  readonly model: number;
  readonly tenant: TenantId;
  readonly seq: Seq;
  readonly message: string;
}

export interface ChunkRead {
  readonly facts: number;
  readonly segments: readonly Segment[];
  readonly again: readonly SaidAgain[];
  /** What sagas look at; of the first fact of a tenant, the hash of the one before may not be there. */
  readonly followed: readonly Recorded[];
  readonly inserted: readonly Inserted[];
  readonly poisons: readonly Poison[];
  readonly header?: FixtureHeader | undefined;
  readonly expect?: Expectation | undefined;
  /** What was read before it is sound. */
  readonly fault?: ReplayFault | undefined;
  readonly work: Work;
}

/** Rows by key text; `undefined` is a row that is gone. */
export type RowNews = ReadonlyMap<string, Row | undefined>;

export interface ModelNews {
  readonly model: number;
  readonly tenant: TenantId;
  readonly rows: RowNews;
}

export interface FoldOrder {
  /** Where each tenant of the chunk stands before it. */
  readonly before: readonly (readonly [TenantId, ChainPosition])[];
  /** Rows that other lanes have changed since this one's last fold. */
  readonly news: readonly ModelNews[];
  /** `model tenant` pairs that have halted. */
  readonly halted: readonly string[];
}

export interface ChunkFolded {
  readonly changes: readonly ModelNews[];
  readonly poisons: readonly Poison[];
  readonly fault?: ReplayFault | undefined;
  /** Milliseconds. */
  readonly work: number;
}

/** `model tenant`, as in `FoldOrder.halted`. */
/** A read model that takes no more facts of a tenant, and why. */
export interface Halted {
  readonly projection: string;
  readonly tenant: TenantId;
  readonly seq: number;
  readonly message: string;
}

export const haltKey = (model: number, tenant: TenantId): string => `${model} ${tenant}`;

/** Thrown inside a chunk at the first thing that does not hold. */
export class Unsound extends Error {
  readonly fault: ReplayFault;
  constructor(fault: ReplayFault) {
    super(fault.message);
    this.fault = fault;
  }
}
