// Receipts carried by CloudEvents, in the three content modes of the HTTP binding.
import { expect } from 'chai';
import fc from 'fast-check';
import { eventReceiptId } from '#gateway/cloudevents/receipt.ts';
import { catalogue, type ProblemCode } from '#gateway/http/problems.ts';
import { verifyReceipt } from '#proofs/verifier.ts';
import { acme, codeOf, type GatewayUnderTest, openGateway } from './gateway-under-test.ts';

const STRUCTURED = { 'content-type': 'application/cloudevents+json; charset=UTF-8' };
const BATCH = { 'content-type': 'application/cloudevents-batch+json' };
const TRACE = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;

type InjectedAnswer = Awaited<ReturnType<GatewayUnderTest['post']>>;

let count = 0;
const event = (over: Record<string, unknown> = {}): Record<string, unknown> => ({
  specversion: '1.0',
  id: `e-${(count += 1)}`,
  source: '/billing/exports',
  type: 'db.export',
  subject: 'alice',
  time: '2026-11-21T08:59:00Z',
  data: { decision: 'allow', inputs: { rows: 12 } },
  ...over,
});

/** The same event as headers and a body. */
const binary = ({ data, ...attributes }: Record<string, unknown>) => ({
  headers: Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [`ce-${name}`, String(value)]),
  ),
  body: JSON.stringify(data),
});

const payloadOf = (answer: InjectedAnswer) =>
  JSON.parse((JSON.parse(answer.body) as { fact: { payload: string } }).fact.payload) as Record<
    string,
    unknown
  >;

const errorsOf = (answer: InjectedAnswer) =>
  (JSON.parse(answer.body) as { errors: readonly Record<string, string>[] }).errors;

describe('gateway/http: CloudEvents', () => {
  let under: GatewayUnderTest;
  let token: string;
  before(async () => {
    under = await openGateway();
    token = await under.token();
  });
  after(() => under[Symbol.asyncDispose]());

  const structured = (of: unknown, headers = {}) => under.post(token, of, { ...STRUCTURED, ...headers });

  it('an event in structured mode is a receipt that verifies, and is found by the id of its source and id', async () => {
    const sent = event();
    const answer = await structured(sent);
    expect(answer.status, answer.body).to.equal(201);
    const id = eventReceiptId(sent as { source: string; id: string });
    expect(answer.headers['location']).to.equal(`/provenance/receipts/${encodeURIComponent(id)}`);
    expect(payloadOf(answer)).to.deep.equal({
      id,
      action: 'db.export',
      actor: 'alice',
      tenant: 'acme',
      decision: 'allow',
      created_at: '2026-11-21T08:59:00Z',
      inputs: { rows: 12 },
      ext: {
        cloudevents: {
          id: sent['id'],
          source: '/billing/exports',
          type: 'db.export',
          subject: 'alice',
          time: '2026-11-21T08:59:00Z',
        },
      },
    });
    expect(verifyReceipt(Buffer.from(answer.body), under.jwks).ok).to.equal(true);
    const found = await under.get(token, String(answer.headers['location']));
    expect(found.body).to.equal(answer.body);
  });

  it('is the same event in every mode, whatever was added on the way, and gets the first answer again', async () => {
    const sent = event();
    const first = await structured(sent);
    expect(first.status).to.equal(201);
    const { headers, body } = binary(sent);
    for (const again of [
      await structured(sent),
      await structured({ ...sent, knativearrivaltime: '2026-11-21T09:00:01Z', subject: 'alice' }),
      await structured({ ...sent, data: undefined, data_base64: Buffer.from(body).toString('base64') }),
      await under.post(token, body, headers),
      await under.post(token, body, { ...headers, 'ce-partitionkey': '7', 'ce-subject': '%61lice' }),
    ]) {
      expect(again.status, again.body).to.equal(201);
      expect(again.body).to.equal(first.body);
    }
    const batch = await under.post(token, [sent, sent], BATCH);
    expect(
      (JSON.parse(batch.body) as { results: { status: string }[] }).results.map(({ status }) => status),
    ).to.deep.equal(['repeated', 'repeated']);
  });

  it('with its source and id said of another occurrence is a conflict that names the first', async () => {
    const sent = event();
    await structured(sent);
    const other = await structured({ ...sent, data: { decision: 'deny' } });
    expect(codeOf(other)).to.equal('receipt-id-taken');
    expect(JSON.parse(other.body).first.href).to.contain('/provenance/receipts/ce%3A');
    expect((await structured({ ...sent, source: '/elsewhere' })).status).to.equal(201);
  });

  it('an older version of a receipt keeps its form', async () => {
    const data = { version: '0.2', decision: 'deny', policy: 'p-7' };
    const answer = await structured(event({ data }));
    expect(answer.status, answer.body).to.equal(201);
    expect(payloadOf(answer)).to.include({
      version: '0.2',
      timestamp: '2026-11-21T08:59:00Z',
      policy: 'p-7',
    });
  });

  it('says in which trace it happened, before the trace of the request', async () => {
    const traceOf = async (answer: Promise<InjectedAnswer>) => {
      const { fact } = JSON.parse((await answer).body) as { fact: { seq: number } };
      for await (const [stored] of under.store.read(acme, { from: fact.seq as never, to: fact.seq as never }))
        return stored?.traceparent;
      return undefined;
    };
    const other = `00-${'c'.repeat(32)}-${'d'.repeat(16)}-01`;
    expect(await traceOf(structured(event({ traceparent: TRACE }), { traceparent: other }))).to.equal(TRACE);
    expect(await traceOf(structured(event(), { traceparent: other }))).to.equal(other);
    expect(await traceOf(structured(event({ traceparent: 'none' })))).to.equal(undefined);
  });

  it('what is wrong is named where its sender finds it', async () => {
    const wrong = { decision: 'maybe', ext: 7 };
    const whole = await structured(event({ data: wrong, subject: undefined }));
    expect(codeOf(whole)).to.equal('receipt-malformed');
    expect(errorsOf(whole).map(({ pointer }) => pointer)).to.have.members([
      '#/data/decision',
      '#/data/ext',
      '#/data/actor',
    ]);
    const { headers, body } = binary(event({ data: wrong, subject: `${'%20'.repeat(300)}x` }));
    const parts = await under.post(token, body, headers);
    expect(codeOf(parts)).to.equal('receipt-malformed');
    expect(errorsOf(parts).map(({ pointer, header }) => header ?? pointer)).to.have.members([
      '#/decision',
      '#/ext',
      'ce-subject',
    ]);
    const envelope = await structured({ specversion: '0.3', data: {} });
    expect(codeOf(envelope)).to.equal('event-malformed');
    expect(errorsOf(envelope).map(({ pointer }) => pointer)).to.have.members([
      '#/specversion',
      '#/id',
      '#/source',
      '#/type',
    ]);
    const headless = await under.post(token, body, { 'ce-id': '1', 'ce-subject': '%C0%A0' });
    expect(errorsOf(headless)).to.have.lengthOf(1);
    expect(errorsOf(headless)[0]).to.include({ header: 'ce-subject' });
    const half = await under.post(token, body, { 'ce-id': '1' });
    expect(errorsOf(half).map(({ header }) => header)).to.have.members([
      'ce-specversion',
      'ce-source',
      'ce-type',
    ]);
  });

  it('bodies that are no event, and media types that are not taken, are problems', async () => {
    for (const [body, headers, code] of [
      ['[]', STRUCTURED, 'event-malformed'],
      ['"text"', STRUCTURED, 'event-malformed'],
      ['{"specversion":"1.0","specversion":"1.0"}', STRUCTURED, 'body-duplicate-key'],
      ['{}', BATCH, 'event-malformed'],
      ['[', BATCH, 'body-not-json'],
      [JSON.stringify(event({ data: undefined, data_base64: 'Ww==' })), STRUCTURED, 'body-not-json'],
      ['{}', { 'content-type': 'application/cloudevents+avro' }, 'media-type-unsupported'],
      ['{}', { 'content-type': 'application/cloudevents-batch+xml' }, 'media-type-unsupported'],
      ['{}', { ...binary(event()).headers, 'content-type': 'text/plain' }, 'media-type-unsupported'],
      [
        '{}\n{}',
        { ...binary(event()).headers, 'content-type': 'application/x-ndjson' },
        'media-type-unsupported',
      ],
    ] as const)
      expect(codeOf(await under.post(token, body, headers)), `${headers['content-type']} ${body}`).to.equal(
        code,
      );
    const path = '/v1/verify';
    const headers = { authorization: `Bearer ${token}`, ...STRUCTURED };
    const elsewhere = await under.gateway.inject({ method: 'POST', path, headers, body: '{}' });
    expect(codeOf(elsewhere), 'no other path takes events').to.equal('media-type-unsupported');
  });

  it('an Idempotency-Key that is another than the id of the event is refused, and nothing is stored', async () => {
    const sent = event();
    const id = eventReceiptId(sent as { source: string; id: string });
    expect(codeOf(await structured(sent, { 'idempotency-key': 'other' }))).to.equal(
      'idempotency-key-differs',
    );
    expect(codeOf(await under.post(token, [sent], { ...BATCH, 'idempotency-key': 'k' }))).to.equal(
      'idempotency-key-differs',
    );
    expect((await structured(sent, { 'idempotency-key': id })).status).to.equal(201);
  });

  it("another tenant's receipt is refused in every mode", async () => {
    const sent = event({ data: { decision: 'allow', tenant: 'globex' } });
    expect(codeOf(await structured(sent))).to.equal('tenant-mismatch');
    const { headers, body } = binary(sent);
    expect(codeOf(await under.post(token, body, headers))).to.equal('tenant-mismatch');
    const { results } = JSON.parse((await under.post(token, [sent], BATCH)).body) as {
      results: { problem: { code: string } }[];
    };
    expect(results[0]?.problem.code).to.equal('tenant-mismatch');
  });
});

describe('gateway/http: a batch of CloudEvents', () => {
  let under: GatewayUnderTest;
  let token: string;
  before(async () => {
    under = await openGateway();
    token = await under.token();
  });
  after(() => under[Symbol.asyncDispose]());

  interface Result {
    readonly index: number;
    readonly status: string;
    readonly seq?: number;
    readonly problem?: { readonly code: string; readonly errors?: readonly { readonly pointer: string }[] };
  }
  const post = async (events: unknown): Promise<readonly Result[]> => {
    const answer = await under.post(token, events, BATCH);
    expect(answer.status, answer.body).to.equal(200);
    return (JSON.parse(answer.body) as { results: readonly Result[] }).results;
  };

  it('has a result for each event in its order, and one that is malformed harms no other', async () => {
    const before = (await under.store.head(acme))?.seq ?? 0;
    const first = event();
    const results = await post([
      first,
      event({ source: '/a b' }),
      'text',
      event({ data: { decision: 'maybe' } }),
      { ...first, data: { decision: 'deny' } },
      event(),
    ]);
    expect(results.map(({ index, status }) => [index, status])).to.deep.equal([
      [0, 'recorded'],
      [1, 'malformed'],
      [2, 'malformed'],
      [3, 'malformed'],
      [4, 'conflict'],
      [5, 'recorded'],
    ]);
    expect(results[1]?.problem?.errors?.[0]?.pointer).to.equal('#/1/source');
    expect(results[3]?.problem?.errors?.[0]?.pointer).to.equal('#/3/data/decision');
    expect((await under.store.head(acme))?.seq).to.equal(before + 2);
  });

  it('may be empty; one that is too long is refused whole, and an event that is too large alone', async () => {
    expect(await post([])).to.deep.equal([]);
    const before = await under.store.head(acme);
    const many = Array.from({ length: 1_001 }, () => event());
    expect(codeOf(await under.post(token, many, BATCH))).to.equal('too-many-events');
    expect(await under.store.head(acme)).to.deep.equal(before);
    const large = event({ data: { decision: 'allow', inputs: { x: 'x'.repeat(1 << 20) } } });
    const results = await post([large, event()]);
    expect(results.map(({ status }) => status)).to.deep.equal(['malformed', 'recorded']);
    expect(results[0]?.problem?.code).to.equal('body-too-large');
    const whole = await under.post(token, JSON.stringify([event({ big: 'x'.repeat(17 << 20) })]), BATCH);
    expect(codeOf(whole)).to.equal('body-too-large');
  });

  it('any change to good events is answered from the catalogue, and stored only when it was acknowledged', async function () {
    this.timeout(60_000);
    let acknowledged = (await under.store.head(acme))?.seq ?? 0;
    const text = Buffer.from(JSON.stringify([event(), event()]));
    const change = fc.record({
      at: fc.nat(text.length - 1),
      drop: fc.nat(4),
      put: fc.uint8Array({ maxLength: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { minLength: 1, maxLength: 3 }),
        fc.boolean(),
        async (changes, one) => {
          const body = changes.reduce<Buffer>(
            (so, { at, drop, put }) => Buffer.concat([so.subarray(0, at), put, so.subarray(at + drop)]),
            one ? text.subarray(1, text.indexOf('},{') + 1) : text,
          );
          const answer = await under.post(token, body, one ? STRUCTURED : BATCH);
          if (one && answer.status === 201) acknowledged += answer.headers['idempotent-replayed'] ? 0 : 1;
          else if (answer.status === 200) {
            const { results } = JSON.parse(answer.body) as { results: readonly Result[] };
            acknowledged += results.filter(({ status }) => status === 'recorded').length;
          } else if (answer.status !== 200) {
            expect(answer.status).to.be.within(400, 499);
            const { code, status } = JSON.parse(answer.body) as { code: ProblemCode; status: number };
            expect(catalogue[code].status).to.equal(status);
          }
          expect((await under.store.head(acme))?.seq).to.equal(acknowledged);
        },
      ),
      { numRuns: 600 },
    );
    expect(under.faults).to.deep.equal([]);
  });
});
