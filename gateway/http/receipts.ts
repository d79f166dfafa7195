// A recorded receipt over HTTP: with its fact and its proof, or the proof alone.
import { claimId } from '#commands/run.ts';
import { proofDocument, receiptBundle } from '#proofs/bundle.ts';
import type { BatchProof } from '#proofs/checkpoint.ts';
import type { Recorded } from '#schemas/event.ts';
import type { StreamStore } from '#streams/stream.ts';
import type { Caller } from './auth.ts';
import { hashTag, isKnown, notModified, tagged } from './conditional.ts';
import type { Operation } from './operation.ts';
import { problem } from './problems.ts';
import { type Call, JSON_TYPE, jsonReply, problemReply, type Reply } from './route.ts';

const ID = {
  in: 'path',
  description: "the receipt's own id, or that of its fact",
  schema: { type: 'string', pattern: '^[!-~]{1,128}$' },
  example: 'git:4b825dc',
} as const;

const TAGGED = { ETag: 'for If-None-Match: a receipt never changes' };

export const receiptOperations = {
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
