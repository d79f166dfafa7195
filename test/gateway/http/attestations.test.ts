import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { gates } from '#commands/gates.ts';
import { runCommand } from '#commands/run.ts';
import { driftState, routeFacts } from '#gateway/attestation/route-facts.ts';
import type { Recorded } from '#schemas/event.ts';
import type { Instant } from '#schemas/ids.ts';
import { acme, codeOf, type GatewayUnderTest, openGateway } from './gateway-under-test.ts';

const ROUTE = 'POST:/v1/orders';
const digest = (of: string): string => of.repeat(64);
const same = {
  route: ROUTE,
  op_id: 'op-1',
  op_parent_id: 'op-0',
  left: { store: 'postgres', digest: digest('a') },
  right: { store: 'neo4j', digest: digest('a') },
  elements: 3,
  divergent: 0,
};
const other = {
  ...same,
  op_id: 'op-2',
  right: { store: 'neo4j', digest: digest('b') },
  divergent: 1,
  differences: [{ class: 'value', element: '["Order","4711",""]', field: 'total' }],
};

describe('gateway/http: POST /attestations and GET /gates/{route}', () => {
  let under: GatewayUnderTest;
  let token: string;

  beforeEach(async () => {
    under = await openGateway();
    token = await under.token({ scopes: ['attestations:report'] });
  });
  afterEach(() => under[Symbol.asyncDispose]());

  const report = (body: object, key: string = randomUUID()) =>
    under.gateway.inject({
      method: 'POST',
      path: '/v1/attestations',
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        'idempotency-key': `"${key}"`,
      },
      body: JSON.stringify(body),
    });
  const facts = async () => {
    const all: Recorded[] = [];
    for await (const page of under.store.read(acme))
      all.push(...page.filter(({ type }) => type.startsWith('attestations.')));
    return all;
  };

  it('records what an operation left in both stores, with its lineage', async () => {
    const answer = await report(same);
    expect(answer.status, answer.body).to.equal(201);
    const [fact, ...rest] = await facts();
    expect(rest).to.deep.equal([]);
    expect(fact).to.include({ type: 'attestations.WriteAttested', opId: 'op-1', opParentId: 'op-0' });
    expect(JSON.parse(fact?.payload ?? '')).to.include({
      left_digest: digest('a'),
      right_digest: digest('a'),
      divergent: 0,
    });
  });

  it('makes of a write that left different things a divergent attestation, once, however often it is sent', async () => {
    const key = randomUUID();
    expect((await report(other, key)).status).to.equal(201);
    expect((await report(other, key)).status).to.equal(201);
    expect((await facts()).map(({ type }) => type)).to.deep.equal([
      'attestations.WriteAttested',
      'attestations.AttestationRecorded',
      'attestations.DriftLocated',
    ]);
    expect((await facts())[1]?.opParentId).to.equal('op-2');
    expect(driftState(await routeFacts(under.store, acme, ROUTE))).to.include({
      standing: 'crossed',
      divergent: 1,
    });
  });

  it('refuses what the digests do not bear out, and an operation that is attested already', async () => {
    for (const wrong of [
      { ...same, divergent: 1 },
      { ...other, divergent: 0 },
    ])
      expect(codeOf(await report(wrong))).to.equal('attestation-not-borne-out');
    await report(same);
    expect(codeOf(await report({ ...same, elements: 4 }))).to.equal('attestation-not-borne-out');
    expect(codeOf(await report({ ...same, left: { store: 'postgres', digest: 'A' } }))).to.equal(
      'body-malformed',
    );
  });

  it('says whether the write path of a route is open', async () => {
    const gate = async () =>
      JSON.parse((await under.get(token, `/gates/${encodeURIComponent(ROUTE)}`)).body) as object;
    expect(await gate()).to.deep.equal({ tenant: 'acme', route: ROUTE, closed: false, epoch: 0 });
    await runCommand(
      { store: under.store, decider: gates },
      { type: 'RollBackWritePath', route: ROUTE, reason: 'they differ' },
      { tenant: acme, actor: 'ada', at: under.clock.now as Instant, key: randomUUID() },
    );
    expect(await gate()).to.include({ closed: true, epoch: 1, reason: 'they differ' });
    expect((await under.get(token, '/gates/%20')).status).to.equal(404);
  });
});
