import { expect } from 'chai';
import { acme, codeOf, type GatewayUnderTest, globex, openGateway, receipt } from './gateway-under-test.ts';

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
    expect(first.status).to.equal(201);
    expect(JSON.parse(JSON.parse(first.body).fact.payload).id).to.equal('k-1');
    const head = await under.store.head(acme);
    under.clock.now += 86_400_000;
    for (const key of ['"k-1"', 'k-1']) {
      const again = await send(key, { decision: 'allow', actor: 'alice', action: 'db.export' });
      expect([again.status, again.body]).to.deep.equal([200, first.body]);
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
    expect(answers.filter(({ status }) => status === 201)).to.have.lengthOf(1);
    expect(new Set(answers.map(({ body }) => body)).size).to.equal(1);
  });

  it('beside an id says the same, or is refused and nothing is stored; so is one on a batch', async () => {
    expect((await send('same', receipt({ id: 'same' }))).status).to.equal(201);
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
