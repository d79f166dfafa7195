// CloudEvents 1.0 that carry receipts, in the three content modes of the HTTP protocol binding 1.0.2: structured (3.2),
// binary (3.1) and batched (3.3), each in the JSON format. An event is recorded as the receipt it carries
// (gateway/cloudevents/receipt.ts), so whatever holds for a receipt holds for it: the same event again gets the first
// answer, in whichever mode it comes.
import { canonicalize, type JsonValue, parseStrictBytes } from '#proofs/canonical.ts';
import type { Fault } from '#schemas/event.ts';
import { readEvent } from '../cloudevents/event.ts';
import { attributesFromHeaders, hasEventHeaders } from '../cloudevents/headers.ts';
import { receiptOf } from '../cloudevents/receipt.ts';
import type { Parameter } from './operation.ts';
import { mediaType } from './operation.ts';
import { bodyProblem } from './problem-causes.ts';
import { type Problem, problem } from './problems.ts';
import { recordingReply, recordingResult } from './receipt-answers.ts';
import { type Recorder, type Recording, recordSent, type Sender } from './record.ts';
import { type Call, jsonReply, problemReply, type Reply } from './route.ts';
import { traceparentOf } from './traceparent.ts';

export const EVENT = 'application/cloudevents+json';
export const EVENT_BATCH = 'application/cloudevents-batch+json';

export const EVENT_BATCH_BYTES_MAX = 16 << 20;
const EVENTS_MAX = 1_000;
/** Of a receipt, as of one that comes alone. */
const RECEIPT_BYTES_MAX = 1 << 20;

const header = (description: string, example: string): Parameter => ({
  in: 'header',
  description: `of an event in binary content mode: ${description}`,
  schema: { type: 'string' },
  example,
});

/** Percent-encoded as the binding says, section 3.1.3.2. */
export const eventHeaders = {
  'ce-specversion': header('the version of the specification, 1.0', '1.0'),
  'ce-id': header("the event's id, unique within its source", '1807'),
  'ce-source': header('who says that it happened', '/billing/exports'),
  'ce-type': header("what happened: the receipt's action unless it has one", 'db.export'),
  'ce-subject': header("whom it is about: the receipt's actor unless it has one", 'alice'),
  'ce-time': header("when: the receipt's time unless it has one", '2026-11-21T09:00:00Z'),
} as const;

export const isBinaryEvent = ({ headers }: Call): boolean => hasEventHeaders(headers);

/** How the faults of an event are told: where each is, as the sender sees it. */
type Faulty = (code: 'event-malformed' | 'receipt-malformed', faults: readonly Fault[]) => Problem;

type EventCall = Call & { readonly body: Buffer };

/** One event, in structured or binary content mode. */
export const postEvent = async (recorder: Recorder, call: EventCall, sender: Sender): Promise<Reply> => {
  const structured = mediaType(call.headers['content-type']) === EVENT;
  const faulty = structured ? inBody('') : inHeaders;
  const read = structured ? parseStrictBytes(call.body) : fromHeaders(call);
  if ('faults' in read) return problemReply(faulty('event-malformed', read.faults), sender.requestId);
  if (!read.ok) return problemReply(bodyProblem(read.error), sender.requestId);
  const recording = await recordEvent(recorder, { value: read.value, faulty }, sender);
  return recordingReply(recording, sender.requestId);
};

const fromHeaders = ({ headers, body }: EventCall) => {
  const read = attributesFromHeaders(headers);
  if ('faults' in read) return read;
  const data = parseStrictBytes(body);
  return data.ok ? { ok: true as const, value: { ...read.attributes, data: data.value } } : data;
};

/** Many events: a result for each, in the same order. One that is malformed harms no other. */
export const postEventBatch = async (
  recorder: Recorder,
  body: Buffer,
  { key, ...sender }: Sender,
): Promise<Reply> => {
  const { requestId } = sender;
  if (key !== undefined) {
    const detail = 'a batch has no key of its own: each event has its source and id';
    return problemReply(problem('idempotency-key-differs', detail), requestId);
  }
  const read = parseStrictBytes(body, { maxBytes: EVENT_BATCH_BYTES_MAX });
  if (!read.ok) return problemReply(bodyProblem(read.error), requestId);
  const { value: events } = read;
  if (!Array.isArray(events)) {
    const fault = { pointer: '', message: 'is no JSON array; give an array of events' };
    return problemReply(inBody('')('event-malformed', [fault]), requestId);
  }
  if (events.length > EVENTS_MAX) {
    const detail = `the batch has ${events.length} events; nothing was stored`;
    return problemReply(problem('too-many-events', detail), requestId);
  }
  const results = events.map(async (value: JsonValue, index) => {
    const recording = await recorder.admission.shares.inShare(sender.caller.tenant, () =>
      recordEvent(recorder, { value, faulty: inBody(`/${index}`) }, sender),
    );
    return recordingResult({ index }, recording, requestId);
  });
  return jsonReply({ results: await Promise.all(results) }, 200, { 'cache-control': 'no-store' });
};

interface SentEvent {
  readonly value: JsonValue;
  readonly faulty: Faulty;
}

/** Never rejects. */
const recordEvent = async (
  recorder: Recorder,
  { value, faulty }: SentEvent,
  sender: Sender,
): Promise<Recording> => {
  const malformed = (of: Problem): Recording => ({ kind: 'malformed', problem: of });
  const refused = sender.admit();
  if (refused) return { kind: 'refused', problem: refused };
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const fault = { pointer: '', message: 'is no JSON object; give an event' };
    return malformed(faulty('event-malformed', [fault]));
  }
  const read = readEvent(value as { readonly [name: string]: JsonValue });
  if (read.kind === 'faulty') return malformed(faulty('event-malformed', read.faults));
  if (read.kind === 'unreadable') return malformed(bodyProblem(read.fault));
  const carried = receiptOf(read.event);
  if (carried.kind === 'faulty') return malformed(faulty('event-malformed', carried.faults));
  const { receipt, origin } = carried;
  const canonical = canonicalize(receipt as JsonValue);
  if (Buffer.byteLength(canonical) > RECEIPT_BYTES_MAX)
    return malformed(
      problem('body-too-large', `the receipt in the event has more than ${RECEIPT_BYTES_MAX} bytes`),
    );
  const sent = {
    value: receipt as JsonValue,
    canonical,
    faulty: (faults: readonly Fault[]) =>
      faulty(
        'receipt-malformed',
        faults.map(({ pointer, message }) => ({ pointer: origin(pointer), message })),
      ),
  };
  // The trace of the occurrence, when the event has one, and not that of its transport.
  const traceparent = traceparentOf(read.event.traceparent) ?? sender.traceparent;
  return await recordSent(recorder, sent, { ...sender, traceparent });
};

const told = (count: number, code: Parameters<Faulty>[0]): string =>
  `${count === 1 ? 'one member is' : `${count} members are`} not as ${code === 'event-malformed' ? 'a CloudEvent has' : 'a receipt has'} them`;

const inBody =
  (prefix: string): Faulty =>
  (code, faults) =>
    problem(code, told(faults.length, code), {
      errors: faults.map(({ pointer, message }) => ({
        pointer: `#${encodeURI(`${prefix}${pointer}`.toWellFormed())}`,
        detail: message,
      })),
    });

/** Attributes came in headers, and the body is the data. */
const inHeaders: Faulty = (code, faults) =>
  problem(code, told(faults.length, code), {
    errors: faults.map(({ pointer, message }) => {
      const [, first = '', ...rest] = pointer.split('/');
      if (first !== 'data') return { header: `ce-${first}`, detail: message };
      return { pointer: `#${encodeURI(['', ...rest].join('/').toWellFormed())}`, detail: message };
    }),
  });
