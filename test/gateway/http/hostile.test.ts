import { expect } from 'chai';
import fc from 'fast-check';
import { catalogue } from '#gateway/http/problems.ts';
import {
  acme,
  codeOf,
  type GatewayUnderTest,
  isReplayed,
  openGateway,
  receipt,
} from './gateway-under-test.ts';

const text = JSON.stringify(receipt({ id: 'r-1' }));
const withInputs = (inputs: string): string => text.replace('{"rows":12,"table":"invoices"}', inputs);

const BODIES: readonly (readonly [title: string, body: string | Buffer, code: string])[] = [
  ['no JSON', '{"id": "r-1"', 'body-not-json'],
  ['nothing', '', 'body-not-json'],
  ['two values', `${text} ${text}`, 'body-not-json'],
  ['a byte order mark', `\uFEFF${text}`, 'body-not-json'],
  ['a duplicate key', text.replace('{', '{"id":"r-2",'), 'body-duplicate-key'],
  ['a duplicate key, written differently', text.replace('{', '{"\\u0069d":"r-2",'), 'body-duplicate-key'],
  ['a duplicate key inside', withInputs('{"a":1,"a":1}'), 'body-duplicate-key'],
  ['2^53+1', withInputs('{"a":9007199254740993}'), 'body-unsafe-integer'],
  ['1e400', withInputs('{"a":1e400}'), 'body-number-out-of-range'],
  ['a lone surrogate', withInputs('{"a":"\\ud800"}'), 'body-lone-surrogate'],
  ['NUL', withInputs('{"a":"\\u0000"}'), 'body-nul-character'],
  ['a name that reaches the prototype', withInputs('{"__proto__":{"x":1}}'), 'body-forbidden-key'],
  ['100 levels', withInputs(`{"a":${'['.repeat(100)}${']'.repeat(100)}}`), 'body-too-deep'],
  ['500,000 levels', '['.repeat(500_000), 'body-too-deep'],
  [
    'invalid UTF-8',
    Buffer.concat([Buffer.from(text.slice(0, -1)), Buffer.from([0xc3, 0x28, 0x7d])]),
    'body-invalid-utf8',
  ],
  ['more than 1 MiB', withInputs(`{"a":"${'x'.repeat(1 << 20)}"}`), 'body-too-large'],
];

describe('gateway/http: hostile bodies', () => {
  let under: GatewayUnderTest;
  let token: string;

  before(async () => {
    under = await openGateway();
    token = await under.token();
  });
  after(() => under[Symbol.asyncDispose]());

  for (const [title, body, code] of BODIES) {
    it(`${title} is ${code}; nothing is stored`, async () => {
      const before = await under.store.head(acme);
      const answer = await under.post(token, body);
      expect(codeOf(answer)).to.equal(code);
      expect(answer.status).to.equal(code === 'body-too-large' ? 413 : 400);
      expect(await under.store.head(acme)).to.deep.equal(before);
    });
  }

  it('media types and encodings that are not taken are named', async () => {
    const send = (headers: Record<string, string>) => under.post(token, text, headers);
    for (const type of [
      'text/plain',
      'application/jsonx',
      'application/cloudevents+avro',
      'nonsense',
      'multipart/form-data; boundary=x',
    ]) {
      const answer = await send({ 'content-type': type });
      expect(codeOf(answer), type).to.equal('media-type-unsupported');
      expect(answer.status).to.equal(415);
    }
    expect(codeOf(await send({ 'content-encoding': 'gzip' }))).to.equal('media-type-unsupported');
    const bare = await under.gateway.inject({
      method: 'POST',
      path: '/receipts',
      headers: { authorization: `Bearer ${token}` },
    });
    expect(codeOf(bare)).to.equal('media-type-unsupported');
  });

  it('paths that cannot be decoded, or are very long, are problems', async () => {
    expect(codeOf(await under.get(token, '/provenance/receipts/%E0%A4%A'))).to.equal('request-malformed');
    expect(codeOf(await under.get(token, `/provenance/receipts/${'x'.repeat(129)}`))).to.equal(
      'no-such-receipt',
    );
    expect(codeOf(await under.get(token, '/provenance/receipts/%00'))).to.equal('no-such-receipt');
    expect(codeOf(await under.get(token, '/provenance/receipts/..%2f..%2fhealthz'))).to.equal(
      'no-such-receipt',
    );
  });

  it('any change to a good body is answered from the catalogue, and stored only when it was acknowledged', async function () {
    this.timeout(60_000);
    let acknowledged = (await under.store.head(acme))?.seq ?? 0;
    const bytes = Buffer.from(text);
    const change = fc.record({
      at: fc.nat(bytes.length - 1),
      drop: fc.nat(4),
      put: fc.uint8Array({ maxLength: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
        const body = changes.reduce<Buffer>(
          (so, { at, drop, put }) => Buffer.concat([so.subarray(0, at), put, so.subarray(at + drop)]),
          bytes,
        );
        const answer = await under.post(token, body);
        if (answer.status === 201) acknowledged += isReplayed(answer) ? 0 : 1;
        else {
          expect(answer.status).to.be.within(400, 499);
          const { code, status } = JSON.parse(answer.body) as {
            code: keyof typeof catalogue;
            status: number;
          };
          expect(catalogue[code].status).to.equal(status);
        }
        expect((await under.store.head(acme))?.seq).to.equal(acknowledged);
      }),
      { numRuns: 1_000 },
    );
    expect(under.faults).to.deep.equal([]);
  });
});
