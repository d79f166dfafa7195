// GET /ledger/{tenant}/events: the facts of a range, one a line, read while they are sent.
import { Readable } from 'node:stream';
import { factDocument } from '#proofs/bundle.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';
import type { Caller } from './auth.ts';
import { tenantParameter } from './ledger.ts';
import { NDJSON, type Operation } from './operation.ts';
import { problem } from './problems.ts';
import { isProblem, malformedQuery, queryReader } from './query.ts';
import { type Call, NDJSON_TYPE, problemReply, type Reply } from './route.ts';

const place = (description: string) =>
  ({
    in: 'query',
    description,
    schema: { type: 'string', pattern: '^[1-9][0-9]{0,14}$', description: 'a seq, from 1' },
    example: '1',
  }) as const;

export const eventsOperation = {
  id: 'listEvents',
  subject: 'ledger',
  summary: "The tenant's facts of a range, in the order of the chain.",
  description: 'Without signatures. A response that ends before the last line it was asked for was cut off.',
  parameters: {
    tenant: tenantParameter,
    from: place('the first fact; 1 unless told'),
    to: place('the last fact; the head unless told'),
  },
  answers: { 200: { description: 'The facts.', media: [{ type: NDJSON, schema: 'Fact' }] } },
  problems: ['other-tenant', 'query-malformed', 'store-corrupt'],
} as const satisfies Operation;

const readQuery = queryReader(eventsOperation);

export const getEvents =
  (store: Pick<StreamStore, 'head' | 'read'>) =>
  async ({ params, query, requestId }: Call, { tenant }: Caller): Promise<Reply> => {
    if (params['tenant'] !== tenant)
      return problemReply(problem('other-tenant', `the token belongs to ${tenant}`), requestId);
    const values = readQuery(query);
    if (isProblem(values)) return problemReply(values, requestId);
    const head = (await store.head(tenant))?.seq ?? (0 as Seq);
    const from = Number(values['from'] ?? 1) as Seq;
    const to = Number(values['to'] ?? head) as Seq;
    if (from > to || to > head) {
      const fault = {
        pointer: '/to',
        message: `there is no range ${from} to ${to}: ${tenant} has 1 to ${head}`,
      };
      return problemReply(malformedQuery([fault]), requestId);
    }
    return {
      status: 200,
      type: NDJSON_TYPE,
      headers: { 'cache-control': 'no-store' },
      body: Readable.from(lines(store, tenant, { from, to }), { objectMode: false }),
    };
  };

const lines = async function* (
  store: Pick<StreamStore, 'read'>,
  tenant: TenantId,
  range: { readonly from: Seq; readonly to: Seq },
): AsyncGenerator<string> {
  for await (const page of store.read(tenant, { ...range, pageSize: 200 }))
    yield page.map((fact) => `${JSON.stringify(factDocument(fact))}\n`).join('');
};
