import { expect } from 'chai';
import { verifyReceipt } from '#proofs/verifier.ts';
import {
  acme,
  answerOf,
  codeOf,
  type GatewayUnderTest,
  globex,
  openGateway,
  receipt,
} from './gateway-under-test.ts';

describe('gateway/http: one receipt', () => {
  let under: GatewayUnderTest;
  let token: string;

  beforeEach(async () => {
    under = await openGateway();
    token = await under.token();
  });
  afterEach(() => under[Symbol.asyncDispose]());

  it('is recorded, and answered with a bundle that verifies offline', async () => {
    const sent = receipt({ id: 'git:4b825dc', op_id: 'op-2', op_parent_id: 'op-1', region: 'eu-central-1' });
    const answer = await under.post(token, sent);
    expect(answer.status).to.equal(201);
    expect(answer.headers['location']).to.equal('/provenance/receipts/git%3A4b825dc');
    expect(verifyReceipt(answer.body, under.jwks).checks.filter((check) => !check.ok)).to.deep.equal([]);
    const { fact } = JSON.parse(answer.body);
    expect(JSON.parse(fact.payload)).to.deep.equal(sent);
    expect(fact).to.include({
      tenant: 'acme',
      actor: 'alice',
      op_id: 'op-2',
      op_parent_id: 'op-1',
      region: 'eu-central-1',
    });
    expect(fact.occurred_at).to.equal('2026-11-21T08:59:00.000Z');
  });

  it('is found again, by its id and by the id of its fact, with the very same bytes', async () => {
    const posted = await under.post(token, receipt({ id: 'a/b%2F"c?#' }));
    expect(posted.status).to.equal(201);
    const got = await under.get(token, String(posted.headers['location']));
    expect(got.status).to.equal(200);
    expect(got.body).to.equal(posted.body);
    const byFact = await under.get(token, `/provenance/receipts/${JSON.parse(posted.body).fact.id}`);
    expect(byFact.body).to.equal(posted.body);
  });

  it('of every version is stored as it came', async () => {
    const v02 = {
      version: '0.2',
      id: 'r-02',
      action: 'a',
      actor: 'b',
      tenant: 'acme',
      decision: 'deny',
      timestamp: '2026-01-01T00:00:00Z',
      fields_mask: ['/inputs'],
    };
    const answer = await under.post(token, v02);
    expect(answer.status).to.equal(201);
    const { fact } = JSON.parse(answer.body);
    expect(fact.schema_version).to.equal(2);
    expect(JSON.parse(fact.payload)).to.deep.equal(v02);
  });

  it('gets its id, its time and its tenant from the ledger when it has none', async () => {
    const { id: _id, tenant: _tenant, created_at: _at, ...rest } = receipt();
    const answer = await under.post(token, rest);
    expect(answer.status).to.equal(201);
    const payload = JSON.parse(JSON.parse(answer.body).fact.payload);
    expect(payload).to.include({ tenant: 'acme', created_at: '2026-11-21T09:00:00.000Z' });
    expect(payload.id).to.match(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(Number.parseInt(payload.id.replaceAll('-', '').slice(0, 12), 16)).to.equal(under.clock.now);
    expect(
      (await under.post(token, rest)).status,
      'without an id every sending is a receipt of its own',
    ).to.equal(201);
  });

  it('sent again gets the first answer, byte for byte, however its members are ordered', async () => {
    const sent = receipt();
    const first = await under.post(token, sent);
    under.clock.now += 60_000;
    await under.post(token, receipt());
    for (const again of [sent, Object.fromEntries(Object.entries(sent).reverse())]) {
      const repeated = await under.post(token, again);
      expect(answerOf(repeated)).to.deep.equal(answerOf(first));
    }
    expect((await under.store.head(acme))?.seq).to.equal(4);
  });

  it('sent again without a time gets the first answer, though another time would have been added', async () => {
    const { created_at: _at, ...sent } = receipt();
    const first = await under.post(token, sent);
    under.clock.now += 60_000;
    const repeated = await under.post(token, sent);
    expect(answerOf(repeated)).to.deep.equal(answerOf(first));
  });

  it('with an id that stands for another receipt is a conflict that names the first', async () => {
    const sent = receipt();
    const { fact } = JSON.parse((await under.post(token, sent)).body);
    const answer = await under.post(token, { ...sent, decision: 'deny' });
    expect(answer.status).to.equal(409);
    const problem = JSON.parse(answer.body);
    expect(problem.code).to.equal('receipt-id-taken');
    expect(problem.first).to.deep.equal({
      tenant: 'acme',
      seq: fact.seq,
      type: 'receipts.ReceiptRecorded',
      recorded_at: fact.recorded_at,
      hash: fact.hash,
      href: `/provenance/receipts/${String(sent['id'])}`,
    });
    expect((await under.store.head(acme))?.seq, 'nothing was stored').to.equal(fact.seq);
  });

  it('has its id to itself in its own tenant only', async () => {
    const sent = receipt();
    await under.post(token, sent);
    const theirs = await under.token({ tenant: globex });
    expect((await under.post(theirs, { ...sent, tenant: 'globex' })).status).to.equal(201);
  });

  it('of another tenant is refused, and does not exist for whoever asks', async () => {
    const sent = receipt();
    await under.post(token, sent);
    const theirs = await under.token({ tenant: globex });
    expect(codeOf(await under.post(theirs, receipt()))).to.equal('tenant-mismatch');
    const foreign = await under.get(theirs, `/provenance/receipts/${String(sent['id'])}`);
    const absent = await under.get(theirs, '/provenance/receipts/none');
    const { instance: _a, ...one } = JSON.parse(foreign.body);
    const { instance: _b, ...two } = JSON.parse(absent.body);
    expect(foreign.status).to.equal(404);
    expect(one).to.deep.equal(two);
  });

  it('is not found under the id of a fact that is no receipt', async () => {
    const [created] = await under.store.readStream(acme, 'tenants-acme' as never);
    expect(created?.type).to.equal('tenants.TenantCreated');
    expect(codeOf(await under.get(token, `/provenance/receipts/${created?.id}`))).to.equal('no-such-receipt');
  });

  it('that is not one is answered with every fault and where it is', async () => {
    const answer = await under.post(token, { action: 'a', decision: 'maybe', 'odd/name': 1 });
    expect(answer.status).to.equal(422);
    const { errors, todo } = JSON.parse(answer.body);
    expect(errors.map((error: { pointer: string }) => error.pointer)).to.have.members([
      '#/actor',
      '#/decision',
      '#/odd~1name',
    ]);
    expect(todo).to.match(/errors/);
  });

  it('of an unknown version, or that is no object, says so', async () => {
    const version = await under.post(token, { version: '7' });
    expect(codeOf(version)).to.equal('receipt-malformed');
    expect(version.body).to.contain('#/version');
    for (const body of ['[]', 'null', '"text"', '7', '[{"id":1}]'])
      expect(codeOf(await under.post(token, body)), body).to.equal('receipt-malformed');
  });

  it('carries the trace it was sent in, and no malformed one', async () => {
    const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    for (const [given, kept] of [
      [trace, trace],
      [trace.toUpperCase(), undefined],
      [`00-${'0'.repeat(32)}-00f067aa0ba902b7-01`, undefined],
    ]) {
      const answer = await under.post(token, receipt(), { traceparent: given as string });
      const fact = await under.store.find(acme, JSON.parse(answer.body).fact.id);
      expect(fact?.traceparent).to.equal(kept);
    }
  });
});
