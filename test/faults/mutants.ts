// Requests that the service takes, and what random damage makes of them: on the level of the JSON, of the headers, and of
// the bytes on the wire.
import fc from 'fast-check';

/** A request as its sender meant it. */
export interface Meant {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
}

const JSON_TYPE = ['Content-Type', 'application/json'] as const;

/** Few enough that some come again: with the same body, or with another. */
const someId = fc.nat(20_000).map((number) => `m-${number}`);

const receiptText = fc
  .record({ id: someId, rows: fc.nat(3), whole: fc.boolean() })
  .map(({ id, rows, whole }) =>
    JSON.stringify({
      id,
      action: 'db.export',
      actor: 'alice',
      decision: 'allow',
      ...(whole && { tenant: 'acme', created_at: '2026-11-21T08:59:00Z', region: 'eu-1', op_id: 'op-1' }),
      inputs: { table: 'invoices', rows },
    }),
  );

const event = someId.map((id) => ({
  specversion: '1.0',
  id,
  source: '/billing/exports',
  type: 'db.export',
  subject: 'alice',
  time: '2026-11-21T08:59:00Z',
  data: { decision: 'allow', inputs: { rows: 12 } },
}));

const posted = (body: string, ...headers: Meant['headers']): Meant => ({
  method: 'POST',
  path: '/v1/receipts',
  headers,
  body: Buffer.from(body),
});

const asked = (path: string): Meant => ({
  method: 'GET',
  path,
  headers: [['If-None-Match', '"x"']],
  body: Buffer.alloc(0),
});

const keyed = someId.map((id) =>
  posted('{"action":"db.export","actor":"bob","decision":"deny"}', JSON_TYPE, ['Idempotency-Key', id]),
);
const structured = event.map((one) =>
  posted(JSON.stringify(one), ['Content-Type', 'application/cloudevents+json']),
);
const binary = event.map(({ data, ...attributes }) =>
  posted(
    JSON.stringify(data),
    JSON_TYPE,
    ...Object.entries(attributes).map(([name, value]) => [`ce-${name}`, value] as const),
  ),
);
const events = fc
  .array(event, { minLength: 1, maxLength: 3 })
  .map((many) =>
    posted(JSON.stringify(many), ['Content-Type', 'application/cloudevents-batch+json'], ['Priority', 'u=5']),
  );
const lines = fc
  .array(receiptText, { minLength: 1, maxLength: 4 })
  .map((many) => posted(many.join('\n'), ['Content-Type', 'application/x-ndjson']));
const question = fc
  .constantFrom(
    '/v1/receipts?limit=3&actor=alice',
    '/v1/provenance/receipts/m-1',
    '/v1/provenance/receipts/m-1/proof',
    '/v1/ledger/acme/head',
    '/v1/ledger/acme/events?from=1&to=5',
  )
  .map(asked);

const meant = fc.oneof(
  {
    weight: 4,
    arbitrary: receiptText.map((text) =>
      posted(text, JSON_TYPE, ['traceparent', `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`]),
    ),
  },
  keyed,
  structured,
  binary,
  events,
  lines,
  question,
);

/** What one damage does. */
type Damage = (request: Meant) => Meant;

const cut = (bytes: Buffer, at: number, drop: number, put: Uint8Array): Buffer => {
  const from = at % (bytes.length + 1);
  return Buffer.concat([bytes.subarray(0, from), put, bytes.subarray(from + drop)]);
};

/** Any, or such as JSON and HTTP are written with. */
const someBytes = fc.oneof(
  fc.uint8Array({ maxLength: 4 }),
  fc.constantFrom(...'{}[]",:0129-eE.\\/ \t\r\n;=').map((one) => Uint8Array.of(one.charCodeAt(0))),
);

const bytesDamage = fc.record({ at: fc.nat(4_096), drop: fc.nat(4), put: someBytes }).map(
  ({ at, drop, put }): Damage =>
    (request) => ({ ...request, body: cut(request.body, at, drop, put) }),
);

const HOSTILE_JSON = [
  '9007199254740993',
  '1e400',
  '-0',
  '"\\ud800"',
  '"\\u0000"',
  '{"__proto__":{}}',
  '{"a":1,"a":1}',
  `${'['.repeat(80)}${']'.repeat(80)}`,
  '""',
  'null',
  'true',
  '"x\\u202e"',
] as const;

/** One value of the text becomes another one, whatever stands around it. */
const valueDamage = fc
  .record({
    nth: fc.nat(12),
    value: fc.oneof(fc.constantFrom(...HOSTILE_JSON), fc.json({ maxDepth: 2 })),
  })
  .map(
    ({ nth, value }): Damage =>
      (request) => {
        let count = 0;
        const text = request.body
          .toString()
          .replace(/:("[^"]*"|\d+)/g, (whole) => (count++ === nth ? `:${value}` : whole));
        return { ...request, body: Buffer.from(text) };
      },
  );

const HEADERS = (
  'Accept Authorization Connection Content-Encoding Content-Length Content-Type Expect Host Idempotency-Key ' +
  'If-None-Match Priority Range TE Transfer-Encoding Upgrade traceparent X-Request-Id ce-id ce-source ce-specversion ' +
  'ce-subject ce-time X-\u00e9'
).split(' ');
const VALUES = (
  '| |*|*/*|0|-1|3|1e3|99999999999999999999|chunked|gzip|identity|close|100-continue|h2c|keep-alive|u=9|u=-1, i|Bearer|' +
  'Bearer x|bytes=0-1|%00|%ff|"|application/json; charset=latin1|application/cloudevents+json|application/x-ndjson|text/plain'
).split('|');
const headerName = fc.constantFrom(...HEADERS);
const headerValue = fc.oneof(
  fc.constantFrom(...VALUES),
  fc.string({ unit: 'binary-ascii', maxLength: 40 }).map((text) => text.replace(/[\r\n]/g, '')),
  fc.string({ unit: 'binary', maxLength: 12 }),
);

const headerDamage = fc
  .record({
    nth: fc.nat(9),
    how: fc.constantFrom('drop', 'twice', 'value', 'add'),
    name: headerName,
    value: headerValue,
  })
  .map(
    ({ nth, how, name, value }): Damage =>
      (request) => {
        const { headers } = request;
        const at = nth % Math.max(1, headers.length);
        const one = headers[at];
        if (how === 'add' || one === undefined) return { ...request, headers: [...headers, [name, value]] };
        if (how === 'drop') return { ...request, headers: headers.toSpliced(at, 1) };
        if (how === 'twice') return { ...request, headers: [...headers, one] };
        return { ...request, headers: headers.with(at, [one[0], value]) };
      },
  );

/** On the finished request, its framing included. */
const wireDamage = fc.record({ at: fc.nat(700), drop: fc.nat(3), put: someBytes });

const onTheWire = ({ method, path, headers, body }: Meant, token: string): Buffer => {
  const all: Meant['headers'] = [
    ['Host', 'ledger.test'],
    ['Authorization', `Bearer ${token}`],
    ...headers,
    ...(method === 'POST' ? [['Content-Length', String(body.length)] as const] : []),
  ];
  const head = all.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${head}\r\n`), body]);
};

/**
 * The bytes of one request by the token's owner. Most are damaged in one place or a few; some are whole, so that there is
 * something to be repeated and contradicted.
 */
export const mutant = (token: string): fc.Arbitrary<Buffer> =>
  fc
    .record({
      request: meant,
      inside: fc.array(fc.oneof(bytesDamage, valueDamage, headerDamage), { maxLength: 3 }),
      outside: fc.oneof(
        { weight: 4, arbitrary: fc.constant(undefined) },
        { weight: 1, arbitrary: wireDamage },
      ),
    })
    .map(({ request, inside, outside }) => {
      const bytes = onTheWire(
        inside.reduce((so, damage) => damage(so), request),
        token,
      );
      return outside ? cut(bytes, outside.at, outside.drop, outside.put) : bytes;
    });
