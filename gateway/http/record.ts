// One receipt from the bytes that came to the fact that was recorded: read strictly, completed, decided, appended.
// A pure insert cannot lose a race, so there is no loop: the store answers once.
import { randomUUID } from 'node:crypto';
import { completeReceipt, receipts } from '#commands/receipts.ts';
import { draftsOf } from '#commands/run.ts';
import { type JsonValue, parseStrictBytes } from '#proofs/canonical.ts';
import { payloadHash } from '#proofs/chain.ts';
import type { Fault, Recorded } from '#schemas/event.ts';
import { type Instant, instantText } from '#schemas/ids.ts';
import { type JsonObject, receiptVersion } from '#schemas/receipts.ts';
import type { Appended, AppendRequest, StreamStore } from '#streams/stream.ts';
import type { Admission, Admit } from './admission.ts';
import type { Caller } from './auth.ts';
import { bodyProblem, problemOf, receiptMalformed } from './problem-causes.ts';
import { type Problem, problem } from './problems.ts';

export interface Recorder {
  readonly store: Pick<StreamStore, 'append'>;
  readonly admission: Admission;
  readonly clock: () => Instant;
  /** Told what the store threw, which the caller is not. */
  readonly fault: (error: unknown, requestId: string) => void;
}

/**
 * `malformed`: not a receipt, whatever the state of the ledger. `refused`: not now, or not for this caller.
 * `conflict`: the id belongs to another receipt.
 */
export type Recording =
  | { readonly kind: 'recorded' | 'repeated'; readonly appended: Appended }
  | { readonly kind: 'malformed' | 'refused' | 'conflict'; readonly problem: Problem };

export interface Sender {
  readonly caller: Caller;
  readonly requestId: string;
  /** The id of a receipt that has none of its own. */
  readonly key?: string | undefined;
  /** W3C Trace Context of the request. */
  readonly traceparent: string | undefined;
  readonly admit: Admit;
}

interface Prepared {
  readonly kind: 'prepared';
  readonly id: string;
  readonly request: AppendRequest;
}

/** A receipt as it was read. */
export interface SentReceipt {
  readonly value: JsonValue;
  /** The canonical text of `value`: what makes two sendings the same request. */
  readonly canonical: string;
  /** What is wrong with it as its sender sees it; by its places in the body unless told. */
  readonly faulty?: (faults: readonly Fault[]) => Problem;
}

/** From the bytes of a body or a line. Never rejects: a store that fails is a refusal. */
export const recordReceipt = async (
  recorder: Recorder,
  bytes: Uint8Array,
  sender: Sender,
): Promise<Recording> => {
  const refused = sender.admit();
  if (refused) return { kind: 'refused', problem: refused };
  const read = parseStrictBytes(bytes);
  if (!read.ok) return { kind: 'malformed', problem: bodyProblem(read.error) };
  return await recordSent(recorder, read, sender);
};

/** Never rejects either. */
export const recordSent = async (
  recorder: Recorder,
  sent: SentReceipt,
  sender: Sender,
): Promise<Recording> => {
  let claimed: string | undefined;
  try {
    const prepared = prepare(sent, sender, recorder.clock());
    if (prepared.kind !== 'prepared') return prepared;
    claimed = prepared.id;
    const result = await recorder.store.append(prepared.request);
    switch (result.kind) {
      case 'appended':
        return { kind: 'recorded', appended: result.facts[0] as Appended };
      case 'repeated':
        return { kind: 'repeated', appended: result.facts[0] as Appended };
      case 'id-taken':
        return { kind: 'conflict', problem: idTaken(prepared.id, result.first) };
      case 'no-such-tenant':
        return {
          kind: 'refused',
          problem: problem('token-refused', `there is no tenant ${sender.caller.tenant}`),
        };
      default:
        // `conflict` and `tenant-exists` answer expectations that a pure insert does not have.
        throw new Error(`the store answered an unconditional append with ${result.kind}`);
    }
  } catch (error) {
    recorder.fault(error, sender.requestId);
    const of = problemOf(error);
    // A receipt without an id got one here, which alone finds it again.
    const found = of.code === 'outcome-unknown' ? { ...of, members: { key: claimed } } : of;
    return { kind: 'refused', problem: found };
  }
};

const prepare = (
  { value: sent, canonical, faulty = receiptMalformed }: SentReceipt,
  { caller, traceparent, key }: Sender,
  at: Instant,
): Prepared | Recording => {
  const { tenant } = caller;
  const malformed = (...faults: readonly Fault[]): Recording => ({
    kind: 'malformed',
    problem: faulty(faults),
  });
  if (!isObject(sent)) return malformed({ pointer: '', message: 'is no JSON object; give a receipt' });
  const schemaVersion = receiptVersion(sent);
  if (typeof schemaVersion !== 'number') return malformed(schemaVersion);
  if (key !== undefined && sent['id'] !== undefined && sent['id'] !== key) {
    const detail = 'the header Idempotency-Key and the "id" of the receipt differ';
    return { kind: 'malformed', problem: problem('idempotency-key-differs', detail) };
  }
  const id = sent['id'] === undefined ? (key ?? newReceiptId(at)) : '';
  const receipt = completeReceipt(sent, { id, at, tenant });
  const claim = receipt['id'] as string;
  const context = { tenant, actor: caller.tokenId, at, key: claim, traceparent };
  const decision = receipts.decide({ type: 'RecordReceipt', receipt, schemaVersion }, undefined, context);
  if (decision.kind === 'refused') {
    const { refusal } = decision;
    return refusal.refusal === 'MalformedReceipt'
      ? malformed(...refusal.faults)
      : { kind: 'refused', problem: problem('tenant-mismatch', refusal.message) };
  }
  const complete = receipt === sent;
  const drafts = draftsOf(decision.events, context, { payload: complete ? canonical : undefined });
  // What the caller sent is the request, not what was added to it: sent again, it gets other additions.
  const requestHash = complete ? undefined : payloadHash(canonical);
  return { kind: 'prepared', id: claim, request: { tenant, drafts, expect: { kind: 'any' }, requestHash } };
};

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Names the fact that holds the id without saying what is in it: the id may have been guessed. */
const idTaken = (id: string, first: Recorded): Problem =>
  problem('receipt-id-taken', `the id ${id} stands for what was recorded as ${first.tenant}/${first.seq}`, {
    first: {
      tenant: first.tenant,
      seq: first.seq,
      type: first.type,
      recorded_at: instantText(first.recordedAt),
      hash: first.hash,
      href: receiptHref(id),
    },
  });

export const receiptHref = (id: string): string => `/provenance/receipts/${encodeURIComponent(id)}`;

/** A UUIDv7 (RFC 9562 section 5.7): sorts by time, and is its own fact id. */
const newReceiptId = (at: Instant): string => {
  const ms = at.toString(16).padStart(12, '0');
  return `${ms.slice(0, 8)}-${ms.slice(8)}-7${randomUUID().slice(15)}`;
};
