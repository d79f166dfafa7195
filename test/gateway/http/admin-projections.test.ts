// Read models over HTTP: what operators see and do, and what others cannot.
import { expect } from 'chai';
import { OPERATORS } from '#commands/tenants.ts';
import { OPERATOR_SCOPES, SCOPES } from '#gateway/http/tokens.ts';
import { RebuildError } from '#projectors/rebuild/errors.ts';
import { acme, codeOf, type GatewayUnderTest, openGateway } from './gateway-under-test.ts';
import { type HeldReadModels, heldReadModels } from './held-read-models.ts';

type Answer = Awaited<ReturnType<GatewayUnderTest['post']>>;

const json = (answer: Answer) => JSON.parse(answer.body) as Record<string, unknown>;

describe('gateway/http: read models', () => {
  let under: GatewayUnderTest;
  let held: HeldReadModels;
  let operator: string;
  beforeEach(async () => {
    held = heldReadModels();
    under = await openGateway((store) => store, { readModels: held });
    await under.command(OPERATORS, { type: 'CreateTenant', displayName: 'operators' });
    operator = await under.token({ tenant: OPERATORS, scopes: OPERATOR_SCOPES });
  });
  afterEach(() => under[Symbol.asyncDispose]());

  const send = (path: string, body: object = {}, as = operator) =>
    under.gateway.inject({
      method: 'POST',
      path: `/v1${path}`,
      headers: { authorization: `Bearer ${as}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const get = (path: string, as = operator) => under.get(as, `/v1${path}`);
  const job = async () => json(await get('/projections/receipts_daily/job'));

  it('say how far they are, over all tenants and with one', async () => {
    held.halted.add('receipts acme');
    const { projections } = json(await get('/projections')) as { projections: object[] };
    expect(projections).to.deep.include({
      projection: 'receipts',
      taken_facts: 7,
      lag_facts: 2,
      lag_seconds_max: 1.5,
      halted_tenants: 1,
    });
    const of = json(await get('/tenants/acme/projections'));
    expect(of['tenant']).to.equal('acme');
    expect(of['projections']).to.deep.include({
      projection: 'receipts',
      version: 1,
      state: 'halted',
      as_of_seq: 5,
      head_seq: 7,
      lag_facts: 2,
      fault: { seq: 6, message: 'no such thing' },
    });
    expect(codeOf(await get('/tenants/nobody/projections'))).to.equal('no-such-tenant');
  });

  it('are rebuilt without waiting for it: how far it is, and what it came to', async () => {
    const begun = await send('/projections/receipts_daily/rebuild', { tenant: 'acme' });
    expect(begun.status, begun.body).to.equal(202);
    expect(begun.headers['location']).to.equal('/projections/receipts_daily/job');
    const [{ request, settle }] = held.work as [HeldReadModels['work'][number]];
    expect(request).to.include({ projection: 'receipts_daily', tenant: 'acme' });
    expect(request.actor).to.equal(`operators/${operator.split('.')[1]}`);
    request.onProgress({ phase: 'filling', facts: 30, total: 90 });
    expect(await job()).to.deep.include({ state: 'running', phase: 'filling', facts: 30, total: 90 });
    const second = await send('/projections/receipts_daily/verify');
    expect([second.status, codeOf(second)]).to.deep.equal([409, 'job-under-way']);
    // Another read model does not wait for this one.
    expect((await send('/projections/receipts/rebuild')).status).to.equal(202);
    settle({ facts: 90, rows: 4, tenants: 1, build: 3, proofs: [] });
    await new Promise(setImmediate);
    expect(await job()).to.deep.include({
      kind: 'rebuild',
      tenant: 'acme',
      state: 'done',
      result: { facts: 90, rows: 4, tenants: 1, build: 3, unequal: [] },
    });
    expect((await send('/projections/receipts_daily/verify')).status).to.equal(202);
    expect(held.work).to.have.length(3);
  });

  it('say why a rebuild failed, and no more of what is inside than callers may know', async () => {
    for (const [error, failure] of [
      [
        new RebuildError('under-way', 'another process rebuilds it'),
        { code: 'under-way', message: 'another process rebuilds it' },
      ],
      [
        new Error('password authentication failed'),
        { code: 'internal-error', message: 'it failed in a way that the log of the service tells about' },
      ],
    ] as const) {
      await send('/projections/receipts_daily/rebuild');
      held.work.pop()?.settle(error);
      await new Promise(setImmediate);
      expect(await job()).to.deep.include({ state: 'failed', failure });
    }
    expect(under.faults).to.have.length(1);
  });

  it('are verified: whose rows are others is told', async () => {
    await send('/projections/receipts_daily/verify');
    held.work[0]?.settle({
      build: 2,
      equal: [{ tenant: 'acme', seq: 5, hash: '', rows: 3, digest: '' }],
      unequal: [{ tenant: 'globex', seq: 6, message: 'the table has 1 rows' }],
    });
    await new Promise(setImmediate);
    expect((await job())['result']).to.deep.equal({
      facts: 11,
      rows: 3,
      tenants: 2,
      build: 2,
      unequal: [{ tenant: 'globex', seq: 6, message: 'the table has 1 rows' }],
    });
  });

  it('are paused and let go, and tried again where they have halted', async () => {
    const pause = async () => json(await send('/projections/receipts/pause', { reason: 'the disk is full' }));
    expect(await pause()).to.deep.equal({ projection: 'receipts', state: 'paused', changed: true });
    expect(held.paused.get('receipts')).to.equal('the disk is full');
    expect((await pause())['changed']).to.equal(false);
    expect(json(await send('/projections/receipts/resume'))['state']).to.equal('running');
    expect(codeOf(await send('/projections/receipts/resume'))).to.equal('projection-goes-on');
    held.halted.add('receipts acme');
    expect((await send('/projections/receipts/resume', { tenant: 'acme' })).status).to.equal(200);
    expect(held.halted.size).to.equal(0);
    expect(codeOf(await send('/projections/receipts/resume', { tenant: 'acme' }))).to.equal(
      'projection-goes-on',
    );
    expect(codeOf(await send('/projections/receipts/pause'))).to.equal('body-malformed');
  });

  it('that are not there are told from those that are', async () => {
    expect(codeOf(await send('/projections/nothing/rebuild'))).to.equal('no-such-projection');
    expect(codeOf(await get('/projections/receipts/job'))).to.equal('no-such-job');
    expect(codeOf(await send('/projections/receipts/rebuild', { tenant: 'nobody' }))).to.equal(
      'no-such-tenant',
    );
    expect(codeOf(await send('/projections/receipts/rebuild', { tenants: 'acme' }))).to.equal(
      'body-malformed',
    );
    expect(held.work).to.deep.equal([]);
  });

  it('answer operators with the scope, and nobody else', async () => {
    const tenants = await under.token({ tenant: OPERATORS, scopes: ['tenants:admin'] });
    const stranger = await under.token({ tenant: acme, scopes: SCOPES });
    for (const token of [tenants, stranger]) {
      for (const answer of [
        await get('/projections', token),
        await get('/tenants/acme/projections', token),
        await get('/projections/receipts/job', token),
        await send('/projections/receipts/rebuild', {}, token),
        await send('/projections/receipts/verify', {}, token),
        await send('/projections/receipts/pause', { reason: 'x' }, token),
        await send('/projections/receipts/resume', {}, token),
      ])
        expect(codeOf(answer)).to.equal('scope-missing');
    }
    expect(held.work).to.deep.equal([]);
  });
});
