// The law of schemas/: what may be said.
//
// An event is a statement in the past tense, `<domain>.<PastTense>`, with a payload whose shape has a version.
// A fact is an event that the ledger has recorded: it has a place (tenant, seq), times, an author, and a hash
// that binds all of it to the fact before. Stored bytes never change; older versions are read by upcasting.
// Nothing in this folder does input or output, reads a clock or draws a random number.
import type { FactId, Instant, Seq, Sha256, StreamName, TenantId } from './ids.ts';

/** One kind of statement: its type name and the payload of its newest version. */
export interface DomainEvent<Type extends string = string, Data = unknown> {
  readonly type: Type;
  readonly data: Data;
}

/** What an event says beside its payload, given by whoever says it. */
export interface Authorship {
  /** The source's own time; never used for order. */
  readonly occurredAt: Instant;
  /** Who acted: 1 to 256 characters. */
  readonly actor: string;
  readonly opId?: string | undefined;
  readonly opParentId?: string | undefined;
  readonly region?: string | undefined;
  /** W3C Trace Context; carried for telemetry and not covered by the hash. */
  readonly traceparent?: string | undefined;
}

/** An event on its way into the ledger: everything but its place. `payload` is its RFC 8785 canonical text. */
export interface Draft extends Authorship {
  readonly id: FactId;
  readonly type: string;
  readonly schemaVersion: number;
  readonly stream?: StreamName | undefined;
  readonly payload: string;
  /** The payload parsed, in its own version, when whoever made this object had it at hand: saves parsing again. */
  readonly parsed?: unknown;
}

/** A fact as it is stored. `payload` is the exact text whose UTF-8 bytes were hashed. */
export interface Recorded extends Draft {
  readonly tenant: TenantId;
  readonly seq: Seq;
  /** The ledger's time; never goes back within a tenant. */
  readonly recordedAt: Instant;
  readonly prevHash: Sha256;
  readonly hash: Sha256;
}

/** A fact as a fold sees it: the stored fact with its payload parsed and brought up to the newest version. */
export type Fact<E extends DomainEvent = DomainEvent> = E extends DomainEvent
  ? Recorded & { readonly type: E['type']; readonly data: E['data'] }
  : never;

/** How one event type is read and written. */
export interface EventSchema {
  /** The version that is written today; versions count from 1 without gaps. */
  readonly version: number;
  /** What people call each version, in order: index 0 is version 1. */
  readonly versionNames: readonly string[];
  /** `upcasters[n]` turns a payload of version n into one of version n + 1; pure, one for each n below `version`. */
  readonly upcasters: { readonly [from: number]: (data: never) => unknown };
  /** Faults of a payload of the given version: an empty list when it is sound. */
  readonly faults: (version: number, data: unknown) => readonly Fault[];
}

/** One thing wrong with a value: where (an RFC 6901 JSON Pointer) and what to do about it. */
export interface Fault {
  readonly pointer: string;
  readonly message: string;
}

/** One domain's vocabulary: its name is the prefix of all its event types. */
export interface DomainSchema {
  readonly name: string;
  readonly events: { readonly [type: string]: EventSchema };
}
