// What a lane is shown of a chunk, arrival by arrival.
import type { Recorded } from '#schemas/event.ts';
import type { Instant, Seq, Sha256, TenantId } from '#schemas/ids.ts';
import type { LineVisitor } from './fixtures/read-lines.ts';

/**
 * A fact whose hash, and whose link to the fact of its tenant that was shown before it, have been checked by whoever shows
 * it. Valid until the next one is shown.
 */
export interface ProvedFact {
  readonly tenant: TenantId;
  readonly type: string;
  readonly seq: Seq;
  readonly recordedAt: Instant;
  /** Its hash: 32 bytes from `at` on. */
  readonly hash: { readonly bytes: Uint8Array; readonly at: number };
  /** The fact itself, made of its bytes now. Throws `MalformedLine`. */
  readonly read: (prevHash: Sha256) => Recorded;
}

/** Facts that come as facts are still to be proved: the first one of a tenant in a chunk always is. */
export interface ArrivalVisitor extends LineVisitor {
  readonly proved: (fact: ProvedFact) => void;
}

/** Shows each of a chunk's arrivals; throws `MalformedLine`, and what the visitor throws. */
export type LaneChunk = (visit: ArrivalVisitor) => void;
