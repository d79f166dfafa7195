// GET /ledger/{tenant}/events: the facts of a range, one a line, read while they are sent.
import { factDocument } from '#proofs/bundle.ts';
import type { StreamStore } from '#streams/stream.ts';
import type { Caller } from './auth.ts';
import { isKnown, notModified, tagged } from './conditional.ts';
import { type LedgerRange, rangeOf, rangeParameters, rangeTag } from './ledger-range.ts';
import { NDJSON, type Operation } from './operation.ts';
import { isProblem } from './query.ts';
import { type Call, NDJSON_TYPE, problemReply, type Reply } from './route.ts';
import { type StreamedParts, streamed } from './streamed.ts';

export const eventsOperation = {
  id: 'listEvents',
  subject: 'ledger',
  summary: "The tenant's facts of a range, in the order of the chain.",
  description: 'Without signatures. A response that ends before the last line it was asked for was cut off.',
  parameters: rangeParameters,
  answers: {
    200: {
      description: 'The facts.',
      headers: { ETag: 'for If-None-Match' },
      media: [{ type: NDJSON, schema: 'Fact' }],
    },
    304: { description: 'The caller has them already.' },
  },
  problems: ['other-tenant', 'query-malformed', 'store-corrupt'],
} as const satisfies Operation;

interface Parts extends StreamedParts {
  readonly store: Pick<StreamStore, 'head' | 'read'>;
}

export const getEvents = (parts: Parts) => {
  const range = rangeOf(parts.store, eventsOperation);
  return async (call: Call, caller: Caller): Promise<Reply> => {
    const asked = await range(call, caller);
    if (isProblem(asked)) return problemReply(asked, call.requestId);
    const tag = rangeTag(asked, 'events');
    if (isKnown(call, tag)) return notModified(tag, { type: NDJSON_TYPE }, asked.kept);
    const body = streamed(parts, call, lines(parts.store, asked));
    return tagged(tag, { status: 200, type: NDJSON_TYPE, body }, asked.kept);
  };
};

const lines = async function* (
  store: Pick<StreamStore, 'read'>,
  { tenant, from, to }: LedgerRange,
): AsyncGenerator<string> {
  for await (const page of store.read(tenant, { from, to, pageSize: 200 }))
    yield page.map((fact) => `${JSON.stringify(factDocument(fact))}\n`).join('');
};
