// What can be asked of a tenant's chain over HTTP.
import { proofDocument } from '#proofs/bundle.ts';
import { tenantName } from '#schemas/faults.ts';
import { instantText } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';
import type { Caller } from './auth.ts';
import { hashTag, isKnown, notModified, tagged } from './conditional.ts';
import type { Operation } from './operation.ts';
import { problem } from './problems.ts';
import { type Call, JSON_TYPE, jsonReply, problemReply, type Reply } from './route.ts';

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
    answers: {
      200: {
        description: 'The head.',
        headers: { ETag: 'for If-None-Match: nothing has been recorded since' },
        media: [{ type: 'application/json', schema: 'Head' }],
      },
      304: { description: 'The chain ends where it did.' },
    },
    problems: ['other-tenant', 'store-corrupt'],
  },
} as const satisfies { readonly [name: string]: Operation };

/**
 * GET /ledger/{tenant}/head: where the chain ends, signed. Keep it outside the ledger: a later chain that does not
 * contain this hash at this seq has been rolled back or rewritten.
 */
export const getHead =
  (store: Pick<StreamStore, 'head' | 'proof'>) =>
  async (call: Call, { tenant }: Caller): Promise<Reply> => {
    // The same answer whether or not there is such a tenant.
    if (call.params['tenant'] !== tenant)
      return problemReply(problem('other-tenant', `the token belongs to ${tenant}`), call.requestId);
    const head = await store.head(tenant);
    const tag = hashTag(head?.hash ?? '');
    if (head && isKnown(call, tag)) return notModified(tag, { type: JSON_TYPE }, 'until-asked');
    const proof = head && (await store.proof(tenant, head.seq));
    if (!proof) throw new Error(`${tenant} let a caller in, but has no head`);
    const { seq, hash, recordedAt } = head;
    const document = { tenant, seq, hash, recorded_at: instantText(recordedAt), proof: proofDocument(proof) };
    return tagged(tag, jsonReply(document), 'until-asked');
  };
