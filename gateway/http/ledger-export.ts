// GET /ledger/{tenant}/export: the chain, or a range of it, with the signatures over it: what
// `prov-ledger verify export` verifies offline. Read while it is sent.
import type { KeySet } from '#proofs/keys/public-key.ts';
import type { StreamStore } from '#streams/stream.ts';
import { exportLines } from '../export/chain-text.ts';
import type { Caller } from './auth.ts';
import { isKnown, notModified, tagged } from './conditional.ts';
import { rangeOf, rangeParameters, rangeTag } from './ledger-range.ts';
import { NDJSON, type Operation } from './operation.ts';
import { isProblem } from './query.ts';
import { type Call, NDJSON_TYPE, problemReply, type Reply } from './route.ts';
import { type StreamedParts, streamed } from './streamed.ts';

export const exportOperation = {
  id: 'exportLedger',
  subject: 'ledger',
  summary: "The tenant's chain with its signatures, to be verified offline.",
  description:
    'The same text as of `prov-ledger export`. Verify it with the public keys, which the verifier brings: the keys in its first line are for comfort only. A response without the line "end" was cut off.',
  parameters: rangeParameters,
  answers: {
    200: {
      description: 'The export.',
      headers: { ETag: 'for If-None-Match', 'Content-Disposition': 'a name for the file' },
      media: [{ type: NDJSON, schema: 'ExportLine' }],
    },
    304: { description: 'The caller has it already.' },
  },
  problems: ['other-tenant', 'query-malformed', 'store-corrupt'],
} as const satisfies Operation;

interface Parts extends StreamedParts {
  readonly store: Pick<StreamStore, 'ledgerId' | 'head' | 'read' | 'proof'>;
  readonly jwks: () => KeySet | Promise<KeySet>;
}

/** Facts held at once for each download. */
const PAGE = 200;

export const getExport = (parts: Parts) => {
  const { store } = parts;
  const range = rangeOf(store, exportOperation);
  return async (call: Call, caller: Caller): Promise<Reply> => {
    const asked = await range(call, caller);
    if (isProblem(asked)) return problemReply(asked, call.requestId);
    const { tenant, from, to } = asked;
    const jwks = await parts.jwks();
    // The keys stand in the text: with a new one, the export of an old range is another text.
    const tag = rangeTag(asked, `export ${JSON.stringify(jwks)}`);
    if (isKnown(call, tag)) return notModified(tag, { type: NDJSON_TYPE }, 'until-asked');
    const headers = { 'content-disposition': `attachment; filename="${tenant}-${from}-${to}.ndjson"` };
    const body = streamed(parts, call, exportLines(store, { tenant, from, to, jwks, pageSize: PAGE }));
    return tagged(tag, { status: 200, type: NDJSON_TYPE, headers, body }, 'until-asked');
  };
};
