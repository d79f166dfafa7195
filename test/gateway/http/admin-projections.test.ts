// Read models over HTTP: what operators see and do, and what others cannot.
import { setTimeout as pause } from 'node:timers/promises';
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
  /** The last job, once the register has heard what is waited for. */
  const jobWith = async (wanted: object) => {
    for (;;) {
      const now = await job();
      if (Object.entries(wanted).every(([name, value]) => now[name] === value)) return now;
      await pause(2);
    }
  };

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
    const { job: id, href } = json(begun) as Record<string, string>;
    expect(begun.headers['location']).to.equal(href);
    expect(href).to.equal(`/projections/receipts_daily/jobs/${id}`);
    const [{ request, settle }] = held.work as [HeldReadModels['work'][number]];
    expect(request).to.include({ projection: 'receipts_daily', tenant: 'acme' });
    expect(request.actor).to.equal(`operators/${operator.split('.')[1]}`);
    request.onProgress({ phase: 'filling', facts: 30, total: 90 });
    expect(await jobWith({ phase: 'filling' })).to.deep.include({ state: 'running', facts: 30, total: 90 });
    for (const other of ['rebuild', 'verify', 'rollback', 'drop-old']) {
      const second = await send(`/projections/receipts_daily/${other}`);
      expect([second.status, codeOf(second), json(second)['job']]).to.deep.equal([
        409,
        'job-under-way',
        href,
      ]);
    }
    // Another read model does not wait for this one.
    expect((await send('/projections/receipts/rebuild')).status).to.equal(202);
    settle({ facts: 90, rows: 4, tenants: 1, version: 1, build: 3, proofs: [] });
    const done = await jobWith({ state: 'done' });
    expect(done).to.deep.include({
      kind: 'rebuild',
      tenant: 'acme',
      actor: request.actor,
      runner: 'here/1',
      result: { facts: 90, rows: 4, tenants: 1, version: 1, build: 3, unequal: [] },
    });
    expect(json(await get(href as string))).to.deep.equal(done);
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
      expect(await jobWith({ state: 'failed' })).to.deep.include({ failure });
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
    expect((await jobWith({ state: 'done' }))['result']).to.deep.equal({
      facts: 11,
      rows: 3,
      tenants: 2,
      build: 2,
      unequal: [{ tenant: 'globex', seq: 6, message: 'the table has 1 rows' }],
    });
  });

  it('go back to what was there before, or make room: jobs like the others, listed newest first', async () => {
    await send('/projections/receipts_daily/rollback');
    held.work[0]?.settle({ from: { version: 1, build: 2 }, to: { version: 1, build: 1 }, current: true });
    const back = await jobWith({ state: 'done' });
    expect(back).to.deep.include({ kind: 'rollback', result: { version: 1, build: 1, current: true } });
    await send('/projections/receipts_daily/drop-old');
    const dropped = await jobWith({ kind: 'drop-old', state: 'done' });
    expect(dropped['result']).to.deep.equal({ dropped: [{ version: 1, build: 1 }] });
    const { jobs } = json(await get('/projections/receipts_daily/jobs'));
    expect(jobs).to.deep.equal([dropped, back]);
    expect(json(await get('/projections/receipts/jobs'))['jobs']).to.deep.equal([]);
    expect(codeOf(await send('/projections/receipts_daily/rollback', { tenant: 'acme' }))).to.equal(
      'body-malformed',
    );
  });

  it('are left as they are by a job that is cancelled', async () => {
    const href = String(json(await send('/projections/receipts_daily/rebuild'))['href']);
    const asked = await send(`${href}/cancel`);
    expect([asked.status, json(asked)['state']]).to.deep.equal([202, 'running']);
    const cancelled = await jobWith({ state: 'cancelled' });
    expect(cancelled).to.include({ cancelled_by: held.work[0]?.request.actor });
    expect(cancelled).to.not.have.any.keys('result', 'failure');
    expect(json(await send(`${href}/cancel`))).to.deep.equal(cancelled);
    expect(under.faults).to.deep.equal([]);
    const next = String(json(await send('/projections/receipts_daily/verify'))['href']);
    held.work[1]?.settle({ build: 1, equal: [], unequal: [] });
    await jobWith({ state: 'done' });
    const late = await send(`${next}/cancel`);
    expect([late.status, codeOf(late)]).to.deep.equal([409, 'job-ended']);
    for (const id of ['nothing', '5f0c9d2e-0d3c-4a53-9a55-3d9d5a8f7a11']) {
      expect(codeOf(await get(`/projections/receipts_daily/jobs/${id}`))).to.equal('no-such-job');
      expect(codeOf(await send(`/projections/receipts_daily/jobs/${id}/cancel`))).to.equal('no-such-job');
    }
    // A job of another read model.
    expect(codeOf(await get(next.replace('receipts_daily', 'receipts')))).to.equal('no-such-job');
  });

  it('pass over a fact that they have halted at, and over no other', async () => {
    held.halted.add('receipts acme');
    const fact = { tenant: 'acme', version: 1, seq: 6, id: 'f', message: 'no such thing' };
    const parked = async () => json(await get('/projections/receipts/parked'))['parked'];
    expect(await parked()).to.deep.equal([fact]);
    const skip = (over: object = {}) =>
      send('/projections/receipts/parked/skip', { tenant: 'acme', seq: 6, reason: 'ticket 4711', ...over });
    expect(codeOf(await skip({ seq: 5 }))).to.equal('not-parked');
    expect(codeOf(await skip({ tenant: 'globex' }))).to.equal('projection-goes-on');
    expect(codeOf(await skip({ tenant: 'nobody' }))).to.equal('no-such-tenant');
    for (const over of [{ reason: '' }, { seq: 0 }, { seq: '6' }, { tenants: [] }])
      expect(codeOf(await skip(over)), JSON.stringify(over)).to.equal('body-malformed');
    expect(await parked()).to.deep.equal([fact]);
    expect(json(await skip())).to.deep.equal({ projection: 'receipts', state: 'running', changed: true });
    const actor = `operators/${operator.split('.')[1]}`;
    expect(held.skipped).to.deep.equal([
      { projection: 'receipts', tenant: 'acme', seq: 6, reason: 'ticket 4711', actor },
    ]);
    expect(await parked()).to.deep.equal([]);
    expect(codeOf(await skip())).to.equal('projection-goes-on');
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
        await get('/projections/receipts/jobs', token),
        await get('/projections/receipts/jobs/5f0c9d2e-0d3c-4a53-9a55-3d9d5a8f7a11', token),
        await send('/projections/receipts/jobs/5f0c9d2e-0d3c-4a53-9a55-3d9d5a8f7a11/cancel', {}, token),
        await send('/projections/receipts/rollback', {}, token),
        await send('/projections/receipts/drop-old', {}, token),
        await get('/projections/receipts/parked', token),
        await send('/projections/receipts/parked/skip', { tenant: 'acme', seq: 1, reason: 'x' }, token),
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
