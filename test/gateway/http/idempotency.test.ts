import { expect } from 'chai';
import { StreamError } from '#streams/errors.ts';
import {
  acme,
  answerOf,
  codeOf,
  type GatewayUnderTest,
  globex,
  isReplayed,
  openGateway,
  receipt,
} from './gateway-under-test.ts';

describe('gateway/http: Idempotency-Key', () => {
  let under: GatewayUnderTest;
  let token: string;
  before(async () => {
    under = await openGateway();
    token = await under.token();
  });
  after(() => under[Symbol.asyncDispose]());

  const send = (key: string, body: object, as = token) => under.post(as, body, { 'idempotency-key': key });
  const bare = { action: 'db.export', actor: 'alice', decision: 'allow' };

  it('gives the first answer again, byte for byte, whatever the time; one fact is stored', async () => {
    const first = await send('"k-1"', bare);
    expect(first).to.deep.include({ status: 201 });
    expect(isReplayed(first)).to.equal(false);
    expect(first.headers['etag']).to.equal(`"${JSON.parse(first.body).fact.hash}"`);
    expect(JSON.parse(JSON.parse(first.body).fact.payload).id).to.equal('k-1');
    const head = await under.store.head(acme);
    under.clock.now += 86_400_000;
    for (const key of ['"k-1"', 'k-1']) {
      const again = await send(key, { decision: 'allow', actor: 'alice', action: 'db.export' });
      expect(answerOf(again)).to.deep.equal(answerOf(first));
      expect(isReplayed(again)).to.equal(true);
    }
    expect(await under.store.head(acme)).to.deep.equal(head);
  });

  it('with another body is a conflict that names the first; also when that body has the id itself', async () => {
    await send('k-2', bare);
    for (const other of [{ ...bare, decision: 'deny' }, receipt({ id: 'k-2' })]) {
      const answer = await send('k-2', other);
      expect(codeOf(answer)).to.equal('receipt-id-taken');
      expect(JSON.parse(answer.body).first.href).to.equal('/provenance/receipts/k-2');
    }
  });

  it('is one of its tenant', async () => {
    await send('k-3', bare);
    expect((await send('k-3', bare, await under.token({ tenant: globex }))).status).to.equal(201);
  });

  it('sent many times at once is recorded once', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => send('k-4', bare)));
    expect(answers.filter((answer) => !isReplayed(answer))).to.have.lengthOf(1);
    expect(new Set(answers.map((answer) => JSON.stringify(answerOf(answer)))).size).to.equal(1);
  });

  it('that an answer of an unknown outcome names finds the receipt, which was sent without id and key', async () => {
    let lost = 0;
    await using losing = await openGateway((store) => ({
      ...store,
      append: async (request) => {
        const result = await store.append(request);
        if (request.drafts[0]?.type !== 'receipts.ReceiptRecorded' || lost > 0) return result;
        lost += 1;
        throw new StreamError('in-doubt', 'the connection was lost');
      },
    }));
    const writer = await losing.token();
    const unknown = await losing.post(writer, bare);
    expect(codeOf(unknown)).to.equal('outcome-unknown');
    expect(unknown.headers['retry-after']).to.equal('2');
    const { key } = JSON.parse(unknown.body);
    const repeated = await losing.post(writer, bare, { 'idempotency-key': key });
    expect(isReplayed(repeated), repeated.body).to.equal(true);
    expect(JSON.parse(JSON.parse(repeated.body).fact.payload).id).to.equal(key);
  });

  it('beside an id says the same, or is refused and nothing is stored; so is one on a batch', async () => {
    const both = receipt({ id: 'same' });
    const first = await send('same', both);
    expect(first.status).to.equal(201);
    expect(answerOf(await under.post(token, both)), 'by its id alone').to.deep.equal(answerOf(first));
    const head = await under.store.head(acme);
    expect(codeOf(await send('key', receipt({ id: 'other' })))).to.equal('idempotency-key-differs');
    const batch = await under.post(token, JSON.stringify(receipt()), {
      'content-type': 'application/x-ndjson',
      'idempotency-key': 'key',
    });
    expect(codeOf(batch)).to.equal('idempotency-key-differs');
    for (const key of ['', '""', '"a', 'a b', '"a\\"b"', 'x'.repeat(129), 'ü'])
      expect(codeOf(await send(key, bare)), key).to.equal('idempotency-key-malformed');
    expect(await under.store.head(acme)).to.deep.equal(head);
  });
});
