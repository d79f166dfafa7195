// The law of streams/: where facts are kept.
//
// Two ports, cut by what they guarantee and not by vendor:
//   StreamStore  the truth: an append is a compare-and-swap on the tenant's head, acknowledged when durable;
//   StreamFeed   delivery: at least once after a checkpoint, in seq order within each tenant.
// The tenant is the unit of order. There is no global sequence: a place in the whole ledger is a vector of
// tenant positions. Expected outcomes (a lost race, a repeated request) are values; errors mean that
// infrastructure failed, and are `StreamError`s whose code says what the caller does.
import type { BatchProof } from '#proofs/checkpoint.ts';
import type { Draft, Recorded } from '#schemas/event.ts';
import type { FactId, Instant, Seq, Sha256, StreamName, StreamRevision, TenantId } from '#schemas/ids.ts';

/** The end of a tenant's chain. A tenant without facts has seq 0 and the all-zero hash. */
export interface Head {
  readonly tenant: TenantId;
  readonly seq: Seq;
  readonly hash: Sha256;
  readonly recordedAt: Instant;
}

/** What must still be true at the moment of the append. */
export type Expectation =
  /** Nothing: a pure insert into a tenant that exists. */
  | { readonly kind: 'any' }
  /** The tenant has no facts yet: this append opens its chain. */
  | { readonly kind: 'new-tenant' }
  /** The stream's last fact is the one the decision was made from. */
  | { readonly kind: 'stream'; readonly stream: StreamName; readonly revision: StreamRevision };

export interface AppendRequest {
  readonly tenant: TenantId;
  /** One to 1,000 facts of one command, appended together or not at all. The first one's id is the claim. */
  readonly drafts: readonly Draft[];
  readonly expect: Expectation;
  /**
   * SHA-256 of the request that the first fact's id stands for, when it differs from the SHA-256 of that fact's
   * payload. A second append with the same id and hash is a repetition; with another hash it is a conflict.
   */
  readonly requestHash?: Sha256 | undefined;
}

/** Where a fact came to stand, and the signature over it. */
export interface Appended {
  readonly fact: Recorded;
  readonly proof: BatchProof;
}

export type AppendResult =
  | { readonly kind: 'appended'; readonly facts: readonly Appended[] }
  /** The same request was recorded before: the first answer again. */
  | { readonly kind: 'repeated'; readonly facts: readonly Appended[] }
  /** The claim belongs to another request; `first` is the fact that holds it. */
  | { readonly kind: 'id-taken'; readonly first: Recorded }
  /** The expectation no longer holds; load again and decide again. */
  | { readonly kind: 'conflict'; readonly actual: StreamRevision }
  | { readonly kind: 'no-such-tenant' }
  | { readonly kind: 'tenant-exists'; readonly head: Head };

/** Bounds of a read; `from` and `to` are inclusive. */
export interface ReadRange {
  readonly from?: Seq;
  readonly to?: Seq;
  /** Facts per delivered page; 1,000 unless told. */
  readonly pageSize?: number;
}

export interface StreamStore extends AsyncDisposable {
  /** The ledger's own UUID: part of every signed statement. */
  readonly ledgerId: string;
  append(request: AppendRequest): Promise<AppendResult>;
  /** `undefined` when there is no such tenant. */
  head(tenant: TenantId): Promise<Head | undefined>;
  heads(): Promise<readonly Head[]>;
  /** Pages in seq order as of one moment; every page is contiguous with the one before. */
  read(tenant: TenantId, range?: ReadRange): AsyncIterable<readonly Recorded[]>;
  /** The facts of one entity, oldest first. */
  readStream(tenant: TenantId, stream: StreamName): Promise<readonly Recorded[]>;
  find(tenant: TenantId, id: FactId): Promise<Recorded | undefined>;
  /** The signature over one fact, as every receipt carries it; `undefined` when there is no such fact. */
  proof(tenant: TenantId, seq: Seq): Promise<BatchProof | undefined>;
}

/** A place in the whole ledger: the last seq taken of each tenant; a tenant not named is at 0. */
export type LedgerPosition = ReadonlyMap<TenantId, Seq>;

/** Facts of one tenant, contiguous in seq. */
export interface FeedBatch {
  readonly tenant: TenantId;
  readonly facts: readonly Recorded[];
}

export interface SubscribeOptions {
  /** Delivery begins with the fact after this position. */
  readonly from: LedgerPosition;
  /** Only these tenants; all, including those yet to come, unless told. */
  readonly tenants?: ReadonlySet<TenantId>;
  /** Facts per batch at most; 1,000 unless told. */
  readonly batchSize?: number;
  /** Ends the subscription: the iteration then finishes without an error. */
  readonly signal: AbortSignal;
  /** End, instead of waiting for more, once everything recorded at the start was delivered. */
  readonly untilCaughtUp?: boolean;
}

export interface StreamFeed extends AsyncDisposable {
  /**
   * Pull-driven: nothing is read ahead beyond one batch. No tenant with much to deliver keeps another waiting:
   * tenants take turns, one batch each.
   */
  subscribe(options: SubscribeOptions): AsyncIterable<FeedBatch>;
}
