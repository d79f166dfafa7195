// What can be asked of a tenant's chain over HTTP.
import { proofDocument } from '#proofs/bundle.ts';
import { tenantName } from '#schemas/faults.ts';
import { instantText } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';
import type { Caller } from './auth.ts';
import type { Operation } from './operation.ts';
import { problem } from './problems.ts';
import { type Call, jsonReply, problemReply, type Reply } from './route.ts';

export const tenantParameter = {
  in: 'path',
  description: "the token's own tenant",
  schema: tenantName,
  example: 'acme',
} as const;

export const ledgerOperations = {
  head: {
    id: 'getHead',
    subject: 'ledger',
    summary: "Where the tenant's chain ends, signed.",
    parameters: { tenant: tenantParameter },
    answers: { 200: { description: 'The head.', media: [{ type: 'application/json', schema: 'Head' }] } },
    problems: ['other-tenant', 'store-corrupt'],
  },
} as const satisfies { readonly [name: string]: Operation };

/**
 * GET /ledger/{tenant}/head: where the chain ends, signed. Keep it outside the ledger: a later chain that does not
 * contain this hash at this seq has been rolled back or rewritten.
 */
export const getHead =
  (store: Pick<StreamStore, 'head' | 'proof'>) =>
  async ({ params, requestId }: Call, { tenant }: Caller): Promise<Reply> => {
    // The same answer whether or not there is such a tenant.
    if (params['tenant'] !== tenant)
      return problemReply(problem('other-tenant', `the token belongs to ${tenant}`), requestId);
    const head = await store.head(tenant);
    const proof = head && (await store.proof(tenant, head.seq));
    if (!proof) throw new Error(`${tenant} let a caller in, but has no head`);
    const { seq, hash, recordedAt } = head;
    return jsonReply(
      { tenant, seq, hash, recorded_at: instantText(recordedAt), proof: proofDocument(proof) },
      200,
      { 'cache-control': 'no-store' },
    );
  };
