// POST /verify: the checks of one receipt, by this service and with this ledger's keys. Whoever does not trust the
// service takes the same bundle and the public keys, and verifies offline.
import type { KeySet } from '#proofs/keys/public-key.ts';
import { verifyReceipt } from '#proofs/verifier.ts';
import type { Operation } from './operation.ts';
import { problem } from './problems.ts';
import { type Call, jsonReply, problemReply, type Reply } from './route.ts';

/** A payload of 1 MiB is at most doubled by the escapes of a JSON string. */
export const BUNDLE_BYTES_MAX = 3 << 20;

export const verifyOperation = {
  id: 'verifyReceipt',
  records: [],
  subject: 'verification',
  summary: "Checks a receipt's bundle, and says of each check what was found.",
  description:
    'The keys are those of this ledger. A bundle that is no bundle fails the check "format": the answer is 200 all the same.',
  body: [{ type: 'application/json', schema: 'ReceiptBundle' }],
  answers: {
    200: { description: 'The checks.', media: [{ type: 'application/json', schema: 'Verification' }] },
  },
} as const satisfies Operation;

export const postVerify =
  (keys: () => KeySet | Promise<KeySet>) =>
  async ({ body, requestId }: Call): Promise<Reply> => {
    if (!Buffer.isBuffer(body))
      return problemReply(problem('media-type-unsupported', 'the body is no bundle'), requestId);
    return jsonReply(verifyReceipt(body, await keys()), 200, { 'cache-control': 'no-store' });
  };
