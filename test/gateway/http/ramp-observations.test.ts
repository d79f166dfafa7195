import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { type FlagCommand, flags } from '#commands/flags.ts';
import { runCommand } from '#commands/run.ts';
import { type Instant, streamName } from '#schemas/ids.ts';
import { acme, codeOf, type GatewayUnderTest, openGateway } from './gateway-under-test.ts';

const feature = 'POST:/v1/orders';
const window = { window_from: '2026-11-21T08:59:00Z', window_to: '2026-11-21T09:00:00Z' };
const exposed = { requests: 2_000, errors: 3 };
const control = { requests: 18_000, errors: 20 };

describe('gateway/http: POST /flags/{feature}/observations', () => {
  let under: GatewayUnderTest;
  let token: string;

  beforeEach(async () => {
    under = await openGateway();
    token = await under.token({ scopes: ['flags:report'] });
  });
  afterEach(() => under[Symbol.asyncDispose]());

  const ask = async (command: FlagCommand): Promise<void> => {
    const context = { tenant: acme, actor: 'ada', at: under.clock.now as Instant, key: randomUUID() };
    expect((await runCommand({ store: under.store, decider: flags }, command, context)).kind).to.equal(
      'recorded',
    );
  };
  const running = async (): Promise<void> => {
    await ask({ type: 'SetFlag', feature, pct: 0, reason: 'the release' });
    await ask({
      type: 'StartRamp',
      feature,
      rampId: 'r-1',
      steps: [10, 100],
      holdSeconds: 60,
      ageMaxSeconds: 60,
      samplesMin: 1,
      errorPpmMax: 0,
      addedPpmMax: 1,
      canaries: ['globex'],
      dryRun: false,
    });
  };
  const report = (body: object, headers: Record<string, string> = {}, of = feature) =>
    under.gateway.inject({
      method: 'POST',
      path: `/v1/flags/${encodeURIComponent(of)}/observations`,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
  const last = async () =>
    JSON.parse((await under.store.readStream(acme, streamName('flags', feature))).at(-1)?.payload ?? '{}');

  it('records what was seen, of the tenant or of a canary', async () => {
    await running();
    const answer = await report({ ...window, exposed, control, source: 'prometheus' });
    expect(answer.status, answer.body).to.equal(201);
    expect(JSON.parse(answer.body)).to.include({ tenant: 'acme', type: 'flags.RampObserved' });
    expect(await last()).to.include({
      of: 'acme',
      exposed_errors: 3,
      control_requests: 18_000,
      source: 'prometheus',
    });
    expect((await report({ ...window, of: 'globex', exposed, control })).status).to.equal(201);
    expect(await last()).to.include({ of: 'globex' });
  });

  it('records figures that are none as such', async () => {
    await running();
    expect(
      (await report({ ...window, exposed: { requests: 'NaN', errors: '+Inf' }, control })).status,
    ).to.equal(201);
    expect(await last()).to.include({ unusable: 'not_a_number' });
    expect((await report({ ...window })).status).to.equal(201);
    expect(await last()).to.include({ unusable: 'empty' });
  });

  it('the same key gets the first answer again', async () => {
    await running();
    const headers = { 'idempotency-key': '"minute-1"' };
    const first = await report({ ...window, exposed, control }, headers);
    const second = await report({ ...window, exposed, control }, headers);
    expect(second.body).to.equal(first.body);
    expect(second.headers['idempotent-replayed']).to.equal('true');
    expect(codeOf(await report({ ...window, exposed, control: exposed }, headers))).to.equal(
      'idempotency-key-taken',
    );
  });

  it('refuses what no ramp takes, and says why', async () => {
    expect(codeOf(await report({ ...window, exposed, control }))).to.equal('no-such-flag');
    await running();
    for (const [body, code] of [
      [{ ...window, of: 'initech', exposed, control }, 'ramp-forbids'],
      [{ ...window, window_to: '2026-11-21T10:00:00Z', exposed, control }, 'ramp-forbids'],
      [{ ...window, window_to: 'now', exposed, control }, 'body-malformed'],
      [{ ...window, exposed: { requests: [] }, control }, 'body-malformed'],
      [{ exposed, control }, 'body-malformed'],
    ] as const)
      expect(codeOf(await report(body)), JSON.stringify(body)).to.equal(code);
    expect(codeOf(await report({ ...window, exposed, control }, {}, 'two words'))).to.equal('no-such-flag');
    await ask({ type: 'StopRamp', feature, reason: 'enough' });
    expect(codeOf(await report({ ...window, exposed, control }))).to.equal('ramp-forbids');
  });
});
