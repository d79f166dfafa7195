// What can be done with receipts over HTTP: record one, record many, get one with its proof.
import { Readable } from 'node:stream';
import { claimId } from '#commands/run.ts';
import { proofDocument, receiptBundle } from '#proofs/bundle.ts';
import type { BatchProof } from '#proofs/checkpoint.ts';
import type { Recorded } from '#schemas/event.ts';
import type { Appended, StreamStore } from '#streams/stream.ts';
import type { Caller } from './auth.ts';
import { hashTag, isKnown, notModified, tagged } from './conditional.ts';
import { idempotencyKey } from './idempotency.ts';
import { inOrder, type Window } from './in-order.ts';
import { type Line, type LineLimits, readLines } from './lines.ts';
import { NDJSON, type Operation } from './operation.ts';
import { type Problem, type ProblemCode, problem, problemDocument } from './problems.ts';
import { type Recorder, type Recording, receiptHref, recordReceipt, type Sender } from './record.ts';
import { type Call, JSON_TYPE, jsonReply, NDJSON_TYPE, problemReply, type Reply } from './route.ts';

const EXAMPLE = {
  action: 'db.export',
  actor: 'alice',
  decision: 'allow',
  policy_version: '2026.11',
  inputs: { table: 'invoices' },
};

const ID = {
  in: 'path',
  description: "the receipt's own id, or that of its fact",
  schema: { type: 'string', pattern: '^[!-~]{1,128}$' },
  example: 'git:4b825dc',
} as const;

const TAGGED = { ETag: 'for If-None-Match: a receipt never changes' };

/** The one thing that tells a repetition from the first answer, for who counts. */
const REPLAYED = 'Idempotent-Replayed';

export const receiptOperations = {
  post: {
    id: 'recordReceipts',
    subject: 'receipts',
    summary: 'Records one receipt, or a batch of them.',
    description:
      'The answer comes when the receipt is durable and signed. The same body again gets the same answer again, for ever. A batch is NDJSON, one receipt a line, and is answered line by line while it arrives.',
    parameters: {
      'Idempotency-Key': {
        in: 'header',
        description: 'the id of a receipt that has none of its own; with one, the same',
        schema: { type: 'string' },
        example: '"5f0c9d2e"',
      },
    },
    body: [
      { type: 'application/json', schema: 'AnyReceipt', example: EXAMPLE },
      { type: NDJSON, schema: 'AnyReceipt', example: `${JSON.stringify(EXAMPLE)}\n` },
    ],
    answers: {
      201: {
        description: 'The receipt is recorded: now, or by an earlier request, whose answer this is then.',
        headers: {
          Location: 'where it is',
          [REPLAYED]: 'true when it was recorded by an earlier request',
          ...TAGGED,
        },
        media: [{ type: 'application/json', schema: 'ReceiptBundle' }],
      },
      200: {
        description: 'The results of a batch.',
        media: [{ type: NDJSON, schema: 'LineResult' }],
      },
    },
    problems: [
      'receipt-malformed',
      'tenant-mismatch',
      'receipt-id-taken',
      'idempotency-key-malformed',
      'idempotency-key-differs',
      'too-many-lines',
      'outcome-unknown',
      'overloaded',
      'out-of-space',
      'store-mismatch',
    ],
  },
  get: {
    id: 'getReceipt',
    subject: 'receipts',
    summary: 'A receipt, its fact and its proof: what offline verification takes.',
    parameters: { id: ID },
    answers: {
      200: {
        description: 'The receipt.',
        headers: TAGGED,
        media: [{ type: 'application/json', schema: 'ReceiptBundle' }],
      },
      304: { description: 'The caller has it already.' },
    },
    problems: ['no-such-receipt', 'store-corrupt'],
  },
  proof: {
    id: 'getProof',
    subject: 'receipts',
    summary: "The signature over a receipt's fact, and the way to it.",
    parameters: { id: ID },
    answers: {
      200: {
        description: 'The proof.',
        headers: TAGGED,
        media: [{ type: 'application/json', schema: 'Proof' }],
      },
      304: { description: 'The caller has it already.' },
    },
    problems: ['no-such-receipt', 'store-corrupt'],
  },
} as const satisfies { readonly [name: string]: Operation };

const BATCH: LineLimits = { lineBytesMax: 1 << 20, batchBytesMax: 64 << 20, linesMax: 10_000 };

// As many as one group commit takes; the bytes bound what a batch of large receipts holds in memory.
const WINDOW: Window<Line> = {
  items: 1_000,
  weight: 8 << 20,
  weigh: (line) => (line.kind === 'line' ? line.bytes.length : 0),
};

/** Results held for a client that sends its whole batch before it reads: without this the two would wait for each other. */
const RESULTS_BYTES_MAX = 16 << 20;

// W3C Trace Context section 3.2; other versions and the all-zero ids are passed over, as it asks.
const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

const traceparentOf = ({ headers: { traceparent } }: Call): string | undefined =>
  typeof traceparent === 'string' && TRACEPARENT.test(traceparent) ? traceparent : undefined;

/** POST /receipts. The same answer (status, body, tag, place) to the first sending and to every repetition. */
export const postReceipts =
  (recorder: Recorder) =>
  async (call: Call, caller: Caller): Promise<Reply> => {
    const { body, requestId } = call;
    const key = idempotencyKey(call);
    if (typeof key === 'object') return problemReply(key, requestId);
    const sender = { caller, requestId, traceparent: traceparentOf(call), key };
    if (body instanceof Readable) {
      if (key === undefined) return batchReply(recorder, call, sender);
      const detail = 'a batch has no key of its own: give each of its receipts an "id"';
      return batchRefusal(problem('idempotency-key-differs', detail), requestId);
    }
    if (body === undefined)
      return problemReply(problem('media-type-unsupported', 'the request has no body'), requestId);
    const recording = await recordReceipt(recorder, body, sender);
    switch (recording.kind) {
      case 'recorded':
      case 'repeated': {
        const { fact, proof } = recording.appended;
        return jsonReply(receiptBundle(fact, proof), 201, {
          location: receiptHref(idOf(recording.appended)),
          etag: hashTag(fact.hash),
          ...(recording.kind === 'repeated' && { [REPLAYED.toLowerCase()]: 'true' }),
        });
      }
      case 'malformed':
      case 'refused':
      case 'conflict':
        return problemReply(recording.problem, requestId);
      default:
        return recording satisfies never;
    }
  };

const idOf = ({ fact }: Appended): string => (fact.parsed ?? JSON.parse(fact.payload)).id as string;

/** The body is on its way all the same, and nobody will read it. */
const batchRefusal = (of: Problem, requestId: string): Reply => {
  const reply = problemReply(of, requestId);
  return { ...reply, headers: { ...reply.headers, connection: 'close' } };
};

const batchReply = (recorder: Recorder, { body, headers, requestId }: Call, sender: Sender): Reply => {
  if (Number(headers['content-length']) > BATCH.batchBytesMax) {
    const detail = `a batch has at most ${BATCH.batchBytesMax} bytes`;
    return batchRefusal(problem('body-too-large', detail), requestId);
  }
  const results = batchResults(recorder, body as Readable, sender);
  return {
    status: 200,
    type: NDJSON_TYPE,
    body: Readable.from(results, { objectMode: false, highWaterMark: RESULTS_BYTES_MAX }),
  };
};

// A store that has let one line wait in vain would let each window of those behind it wait as long.
const AWAY: ReadonlySet<ProblemCode> = new Set(['store-unavailable', 'outcome-unknown', 'out-of-space']);
const NOT_TRIED = problem(
  'store-unavailable',
  'the store failed an earlier line of the batch; this one was not tried',
);

/** One line of JSON per line of the batch, in the same order. */
const batchResults = (recorder: Recorder, body: Readable, sender: Sender): AsyncGenerator<string> => {
  let away = false;
  const work = async (line: Line): Promise<string> => {
    const { number } = line;
    if (away) return resultLine(number, { kind: 'refused', problem: NOT_TRIED }, sender.requestId);
    if (line.kind !== 'line')
      return resultLine(number, { kind: 'refused', problem: limitProblem(line.kind) }, sender.requestId);
    const recording = await recordReceipt(recorder, line.bytes, sender);
    away ||= recording.kind === 'refused' && AWAY.has(recording.problem.code);
    return resultLine(number, recording, sender.requestId);
  };
  // The stream stays whole when reading stops at a limit: destroying it would cut off the answer.
  const chunks = {
    [Symbol.asyncIterator]: () => body.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>,
  };
  return inOrder(readLines(chunks, BATCH), work, WINDOW);
};

const resultLine = (line: number, recording: Recording, requestId: string): string => {
  switch (recording.kind) {
    case 'recorded':
    case 'repeated': {
      const { fact } = recording.appended;
      return `${JSON.stringify({ line, status: recording.kind, id: idOf(recording.appended), seq: fact.seq, hash: fact.hash })}\n`;
    }
    case 'malformed':
    case 'refused':
    case 'conflict':
      return `${JSON.stringify({ line, status: recording.kind, problem: problemDocument(recording.problem, requestId) })}\n`;
    default:
      return recording satisfies never;
  }
};

const limitProblem = (kind: Exclude<Line['kind'], 'line'>): Problem => {
  switch (kind) {
    case 'line-too-long':
      return problem(
        'body-too-large',
        `the line is longer than ${BATCH.lineBytesMax} bytes; the lines after it were read`,
      );
    case 'batch-too-large':
      return problem(
        'body-too-large',
        `the batch is longer than ${BATCH.batchBytesMax} bytes; this line and those after it were not read`,
      );
    case 'too-many-lines':
      return problem(
        'too-many-lines',
        `the batch has more than ${BATCH.linesMax} lines; this line and those after it were not read`,
      );
    default:
      return kind satisfies never;
  }
};

type Found = Pick<StreamStore, 'find' | 'proof'>;

/**
 * GET /provenance/receipts/{id}: the receipt, its fact and its proof, in the form that offline verification takes.
 * The id is the receipt's own, or that of its fact. Another tenant's receipt does not exist for the caller.
 */
export const getReceipt = (store: Found) => proven(store, receiptBundle);

/** GET /provenance/receipts/{id}/proof: the proof alone. */
export const getProof = (store: Found) => proven(store, (_, proof) => proofDocument(proof));

const proven =
  (store: Found, documentOf: (fact: Recorded, proof: BatchProof) => object) =>
  async (call: Call, { tenant }: Caller): Promise<Reply> => {
    const { id = '' } = call.params;
    const found = RECEIPT_ID.test(id) ? await store.find(tenant, claimId(tenant, id)) : undefined;
    const fact = found?.type === 'receipts.ReceiptRecorded' ? found : undefined;
    const tag = hashTag(fact?.hash ?? '');
    if (fact && isKnown(call, tag)) return notModified(tag, { type: JSON_TYPE });
    const proof = fact && (await store.proof(tenant, fact.seq));
    if (!fact || !proof)
      return problemReply(
        problem('no-such-receipt', `${tenant} has no receipt with this id`),
        call.requestId,
      );
    return tagged(tag, jsonReply(documentOf(fact, proof)));
  };

const RECEIPT_ID = /^[!-~]{1,128}$/;
