// POST /receipts: one receipt or many, plain or carried by CloudEvents. The media type says which; an event in binary
// content mode says so by its headers.
import { Readable } from 'node:stream';
import { admitting, urgencyOf } from './admission.ts';
import type { Caller } from './auth.ts';
import {
  EVENT,
  EVENT_BATCH,
  eventHeaders,
  isBinaryEvent,
  postEvent,
  postEventBatch,
} from './cloud-events.ts';
import { idempotencyKey } from './idempotency.ts';
import { mediaType, NDJSON, type Operation } from './operation.ts';
import { problem } from './problems.ts';
import { REPLAYED, recordingReply } from './receipt-answers.ts';
import { batchRefusal, batchReply } from './receipt-batch.ts';
import { type Recorder, recordReceipt, type Sender } from './record.ts';
import { type Call, problemReply, type Reply } from './route.ts';
import { traceparentOf } from './traceparent.ts';

const EXAMPLE = {
  action: 'db.export',
  actor: 'alice',
  decision: 'allow',
  policy_version: '2026.11',
  inputs: { table: 'invoices' },
};

const EVENT_EXAMPLE = {
  specversion: '1.0',
  id: '1807',
  source: '/billing/exports',
  type: 'db.export',
  subject: 'alice',
  time: '2026-11-21T09:00:00Z',
  data: { decision: 'allow', inputs: { table: 'invoices' } },
};

export const postOperation = {
  id: 'recordReceipts',
  records: ['receipts.ReceiptRecorded'],
  subject: 'receipts',
  summary: 'Records one receipt, or a batch of them.',
  description:
    'The answer comes when the receipt is durable and signed. The same body again gets the same answer again, for ever. A batch is NDJSON, one receipt a line, and is answered line by line while it arrives. CloudEvents 1.0 are taken in structured, binary and batched content mode: the data is the receipt, and what that leaves out comes from the attributes.',
  parameters: {
    'Idempotency-Key': {
      in: 'header',
      description: 'the id of a receipt that has none of its own; with one, the same',
      schema: { type: 'string' },
      example: '"5f0c9d2e"',
    },
    Priority: {
      in: 'header',
      description:
        'RFC 9218; a receipt with an urgency above 3 can wait, and is refused first when too much comes',
      schema: { type: 'string' },
      example: 'u=5',
    },
    ...eventHeaders,
  },
  body: [
    { type: 'application/json', schema: 'AnyReceipt', example: EXAMPLE },
    { type: NDJSON, schema: 'AnyReceipt', example: `${JSON.stringify(EXAMPLE)}\n` },
    { type: EVENT, schema: 'CloudEvent', example: EVENT_EXAMPLE },
    { type: EVENT_BATCH, schema: 'CloudEvents', example: [EVENT_EXAMPLE] },
  ],
  answers: {
    201: {
      description: 'The receipt is recorded: now, or by an earlier request, whose answer this is then.',
      headers: {
        Location: 'where it is',
        ETag: 'for If-None-Match: a receipt never changes',
        [REPLAYED]: 'true when it was recorded by an earlier request',
      },
      media: [{ type: 'application/json', schema: 'ReceiptBundle' }],
    },
    200: {
      description: 'The results of a batch.',
      media: [
        { type: 'application/json', schema: 'EventResults' },
        { type: NDJSON, schema: 'LineResult' },
      ],
    },
  },
  problems: [
    'receipt-malformed',
    'event-malformed',
    'tenant-mismatch',
    'receipt-id-taken',
    'idempotency-key-malformed',
    'idempotency-key-differs',
    'too-many-lines',
    'too-many-events',
    'outcome-unknown',
    'overloaded',
    'write-path-closed',
    'out-of-space',
    'store-mismatch',
  ],
} as const satisfies Operation;

export const postReceipts =
  (recorder: Recorder) =>
  async (call: Call, caller: Caller): Promise<Reply> => {
    const { body, headers, requestId } = call;
    const key = idempotencyKey(call);
    if (typeof key === 'object') return problemReply(key, requestId);
    const type = mediaType(headers['content-type']);
    const isBatch = body instanceof Readable || type === EVENT_BATCH;
    const urgency = urgencyOf(headers['priority'], isBatch);
    if (urgency === 'interactive') recorder.admission.shares.asked(caller.tenant);
    const admit = admitting(recorder.admission, caller, urgency);
    const sender = { caller, requestId, traceparent: traceparentOf(headers['traceparent']), key, admit };
    if (body instanceof Readable) return manyLines(recorder, call, sender);
    if (body === undefined)
      return problemReply(problem('media-type-unsupported', 'the request has no body'), requestId);
    if (type === EVENT_BATCH) return await postEventBatch(recorder, body, sender);
    if (type === EVENT || isBinaryEvent(call)) return await postEvent(recorder, { ...call, body }, sender);
    return recordingReply(await recordReceipt(recorder, body, sender), requestId);
  };

const manyLines = (recorder: Recorder, call: Call, sender: Sender): Reply => {
  const { requestId } = sender;
  if (isBinaryEvent(call)) {
    const detail = 'the data of an event is one receipt: send many as application/cloudevents-batch+json';
    return batchRefusal(problem('media-type-unsupported', detail), requestId);
  }
  if (sender.key === undefined) return batchReply(recorder, call, sender);
  const detail = 'a batch has no key of its own: give each of its receipts an "id"';
  return batchRefusal(problem('idempotency-key-differs', detail), requestId);
};
