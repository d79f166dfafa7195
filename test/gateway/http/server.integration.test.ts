// The gateway on a real PostgreSQL, as it runs: durable answers, several processes on one ledger.
import { expect } from 'chai';
import { createGateway, type Gateway } from '#gateway/http/server.ts';
import { jwks } from '#proofs/keys/public-key.ts';
import { verifyReceipt } from '#proofs/verifier.ts';
import type { StreamStore } from '#streams/stream.ts';
import { openPostgres, type PostgresUnderTest } from '#test/streams/postgres/postgres-adapter.ts';
import { expectLedgerSound } from '#test/support/ledger-sound.ts';
import {
  acme,
  answerOf,
  codeOf,
  type GatewayUnderTest,
  gatewayOn,
  isReplayed,
  NO_FEED,
  receipt,
} from './gateway-under-test.ts';
import { heldProjections } from './held-read-models.ts';
import { flagsFrom } from './listed-flags.ts';
import { listedFrom } from './listed-receipts.ts';

describe('gateway/http on PostgreSQL', function () {
  this.timeout(60_000);
  let postgres: PostgresUnderTest;
  let under: GatewayUnderTest;
  let token: string;

  before(async () => {
    postgres = await openPostgres();
    const { store, keys, clock } = postgres;
    under = await gatewayOn({
      store,
      keySet: jwks(keys),
      clock,
      close: () => postgres[Symbol.asyncDispose](),
    });
    token = await under.token();
  });
  after(() => under[Symbol.asyncDispose]());

  const elsewhere = (store: StreamStore): Gateway =>
    createGateway({
      store,
      feed: NO_FEED,
      listFlags: flagsFrom(store),
      ...heldProjections(
        () => under.clock.now,
        (error) => under.faults.push(error),
      ),
      listReceipts: listedFrom(store),
      jwks: () => under.jwks,
      readiness: async () => ({ ready: true, missing: [] }),
      clock: () => under.clock.now,
    });

  const postTo = (gateway: Gateway, body: unknown) =>
    gateway.inject({
      method: 'POST',
      path: '/receipts',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });

  it('records a receipt that verifies offline, and gives the same bytes for ever', async () => {
    const sent = receipt({
      actor: 'zoë',
      op_id: 'op',
      region: 'eu-central-1',
      inputs: { deep: [1, { ü: '\u2028' }] },
    });
    const first = await under.post(token, sent);
    expect(first.status).to.equal(201);
    expect(verifyReceipt(first.body, under.jwks).ok).to.equal(true);
    await under.post(token, Array.from({ length: 50 }, () => JSON.stringify(receipt())).join('\n'), {
      'content-type': 'application/x-ndjson',
    });
    const repeated = await under.post(token, sent);
    expect(answerOf(repeated)).to.deep.equal(answerOf(first));
    const { store } = await postgres.another();
    await using other = elsewhere(store);
    expect(answerOf(await postTo(other, sent)), 'from another process').to.deep.equal(answerOf(first));
    const got = await other.inject({
      method: 'GET',
      path: String(first.headers['location']),
      headers: { authorization: `Bearer ${token}` },
    });
    expect(got.body).to.equal(first.body);
    expect(codeOf(await postTo(other, { ...sent, decision: 'deny' }))).to.equal('receipt-id-taken');
  });

  it('gives every receipt of a signed batch bytes that stay the same', async () => {
    const sent = Array.from({ length: 40 }, () => receipt());
    const first = await Promise.all(sent.map((each) => under.post(token, each)));
    const again = await Promise.all(sent.map((each) => under.post(token, each)));
    expect(again.map((answer) => answer.body)).to.deep.equal(first.map((answer) => answer.body));
    const together = first.map((answer) => JSON.parse(answer.body).proof.path.fact_count as number);
    expect(Math.max(...together), 'committed together').to.be.greaterThan(10);
    for (const answer of first) expect(verifyReceipt(answer.body, under.jwks).ok).to.equal(true);
  });

  it('takes a receipt once from two processes that get it at the same time', async () => {
    const { store } = await postgres.another();
    await using other = elsewhere(store);
    for (let round = 0; round < 10; round += 1) {
      const sent = receipt();
      const answers = await Promise.all(
        [under.gateway, other, under.gateway, other].map((gateway) => postTo(gateway, sent)),
      );
      expect(answers.filter((answer) => !isReplayed(answer))).to.have.length(1);
      expect(new Set(answers.map((answer) => JSON.stringify(answerOf(answer)))).size).to.equal(1);
    }
  });

  it('records a batch whole, with repetitions and conflicts in their places', async () => {
    const lines = Array.from({ length: 2_000 }, (_, index) =>
      receipt({ id: `b-${index % 1_500}`, inputs: { n: index < 1_500 ? index : index % 1_500 } }),
    );
    lines[1_700] = { ...lines[1_700], decision: 'deny' };
    const before = (await under.store.head(acme))?.seq ?? 0;
    const answer = await under.post(token, lines.map((line) => JSON.stringify(line)).join('\n'), {
      'content-type': 'application/x-ndjson',
    });
    const results = answer.body
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { line: number; status: string; seq: number });
    expect(results.map(({ line }) => line)).to.deep.equal(lines.map((_, index) => index + 1));
    expect(results.map(({ status }) => status)).to.deep.equal(
      lines.map((_, index) => (index < 1_500 ? 'recorded' : index === 1_700 ? 'conflict' : 'repeated')),
    );
    expect(results[1_600]?.seq).to.equal(results[100]?.seq);
    expect((await under.store.head(acme))?.seq).to.equal(before + 1_500);
  });

  it('answers with the signed head', async () => {
    const { fact, proof } = JSON.parse((await under.post(token, receipt())).body);
    const head = JSON.parse((await under.get(token, '/ledger/acme/head')).body);
    expect(head).to.deep.equal({
      tenant: 'acme',
      seq: fact.seq,
      hash: fact.hash,
      recorded_at: fact.recorded_at,
      proof,
    });
  });

  it('leaves a sound ledger', async () => {
    const { facts } = await expectLedgerSound({ store: under.store, keys: postgres.keys });
    expect(facts).to.be.greaterThan(1_600);
    expect(under.faults).to.deep.equal([]);
  });
});
