// Through OpenFeature's own SDK, against a running service.
import { randomUUID } from 'node:crypto';
import { type Client, ErrorCode, OpenFeature, ProviderEvents, ProviderStatus } from '@openfeature/server-sdk';
import { expect } from 'chai';
import { type FlagCommand, flags } from '#commands/flags.ts';
import { runCommand } from '#commands/run.ts';
import { flagBucket } from '#gateway/sdk/flag-bucket.ts';
import { type LedgerFlagsOptions, ledgerFlags } from '#gateway/sdk/openfeature.ts';
import type { Instant } from '#schemas/ids.ts';
import { acme, type GatewayUnderTest, openGateway } from '../http/gateway-under-test.ts';

describe('gateway/sdk/openfeature', function () {
  this.timeout(20_000);
  let under: GatewayUnderTest;
  let url: string;
  let token: string;
  /** Of the way to the service. */
  let away: boolean;
  let now: number;

  beforeEach(async () => {
    under = await openGateway();
    url = await under.gateway.listen({ host: '127.0.0.1', port: 0 });
    token = await under.token({ scopes: ['flags:read'] });
    away = false;
    now = 0;
  });
  afterEach(async () => {
    await OpenFeature.clearProviders();
    await under[Symbol.asyncDispose]();
  });

  const said = { feature: 'new-checkout', reason: 'the release' };
  const ask = async (command: FlagCommand): Promise<void> => {
    const context = { tenant: acme, actor: 'ada', at: under.clock.now as Instant, key: randomUUID() };
    expect((await runCommand({ store: under.store, decider: flags }, command, context)).kind).to.equal(
      'recorded',
    );
  };
  const set = (pct: number, feature = said.feature) => ask({ type: 'SetFlag', ...said, feature, pct });
  const provider = (over: Partial<LedgerFlagsOptions> = {}) =>
    ledgerFlags({
      url,
      token,
      pollMs: 10,
      steadyClock: () => now,
      fetch: (input, init) => (away ? Promise.reject(new Error('no route')) : fetch(input, init)),
      ...over,
    });
  const opened = async (over: Partial<LedgerFlagsOptions> = {}): Promise<Client> => {
    await OpenFeature.setProviderAndWait('test', provider(over));
    return OpenFeature.getClient('test');
  };
  const heard = (
    client: Client,
    event: 'PROVIDER_STALE' | 'PROVIDER_READY' | 'PROVIDER_CONFIGURATION_CHANGED',
  ) =>
    new Promise<{ readonly flagsChanged?: readonly string[] } | undefined>((resolve) => {
      client.addHandler(ProviderEvents[EVENTS[event]], resolve as never);
    });
  const EVENTS = {
    PROVIDER_STALE: 'Stale',
    PROVIDER_READY: 'Ready',
    PROVIDER_CONFIGURATION_CHANGED: 'ConfigurationChanged',
  } as const;

  it('answers as the flag says, with the reason and the fact', async () => {
    await set(0);
    await set(100, 'dark-mode');
    await set(35, 'half');
    const client = await opened();
    const details = (feature: string, targetingKey?: string) =>
      client.getBooleanDetails(feature, false, targetingKey === undefined ? {} : { targetingKey });
    expect(await details('new-checkout')).to.deep.include({ value: false, reason: 'STATIC', variant: 'off' });
    expect(await details('dark-mode')).to.deep.include({ value: true, reason: 'STATIC', variant: 'on' });
    for (const subject of ['a', 'b', 'c', 'd', 'e', 'f']) {
      const bucket = flagBucket({ tenant: 'acme', feature: 'half', subject });
      expect(await details('half', subject)).to.deep.include({
        value: bucket < 3_500,
        reason: 'SPLIT',
        flagMetadata: { pct: 35, frozen: false, seq: 5, bucket },
      });
    }
  });

  it('fails with the codes of the specification, and gives the default', async () => {
    await set(50);
    const client = await opened();
    const failed = { value: true, reason: 'ERROR' };
    expect(await client.getBooleanDetails('none', true)).to.deep.include({
      ...failed,
      errorCode: ErrorCode.FLAG_NOT_FOUND,
    });
    expect(await client.getBooleanDetails('constructor', true)).to.include({
      errorCode: ErrorCode.FLAG_NOT_FOUND,
    });
    expect(await client.getBooleanDetails('new-checkout', true)).to.deep.include({
      ...failed,
      errorCode: ErrorCode.TARGETING_KEY_MISSING,
    });
    expect(await client.getStringDetails('new-checkout', 'x')).to.deep.include({
      value: 'x',
      errorCode: ErrorCode.TYPE_MISMATCH,
    });
    expect(await client.getNumberDetails('new-checkout', 7)).to.include({ value: 7 });
    expect(await client.getObjectDetails('none', { a: 1 })).to.deep.include({
      value: { a: 1 },
      errorCode: ErrorCode.FLAG_NOT_FOUND,
    });
  });

  it('hears of flags that move', async () => {
    await set(0);
    const client = await opened();
    const changed = heard(client, 'PROVIDER_CONFIGURATION_CHANGED');
    await set(100);
    expect((await changed)?.flagsChanged).to.deep.equal(['new-checkout']);
    expect(await client.getBooleanValue('new-checkout', false)).to.equal(true);
  });

  it('goes on by the last flags while the service is away, says so, and hears of its return', async () => {
    await set(100);
    const client = await opened();
    const stale = heard(client, 'PROVIDER_STALE');
    away = true;
    await stale;
    expect(client.providerStatus).to.equal(ProviderStatus.STALE);
    expect(await client.getBooleanDetails('new-checkout', false)).to.deep.include({
      value: true,
      reason: 'STALE',
    });
    await set(0);
    const changed = heard(client, 'PROVIDER_CONFIGURATION_CHANGED');
    away = false;
    await changed;
    expect(client.providerStatus).to.equal(ProviderStatus.READY);
    expect(await client.getBooleanDetails('new-checkout', true)).to.deep.include({
      value: false,
      reason: 'STATIC',
    });
  });

  it('with a lease, it says nothing of flags that nobody has vouched for that long', async () => {
    await set(100);
    const client = await opened({ leaseMs: 60_000 });
    const stale = heard(client, 'PROVIDER_STALE');
    away = true;
    await stale;
    now = 60_000;
    expect(await client.getBooleanValue('new-checkout', false)).to.equal(true);
    now = 60_001;
    expect(await client.getBooleanDetails('new-checkout', false)).to.deep.include({
      value: false,
      errorCode: ErrorCode.GENERAL,
    });
  });

  it('a service that is away at the start is asked again; a token that is not taken is fatal', async () => {
    await set(100);
    away = true;
    let failure: unknown;
    await OpenFeature.setProviderAndWait('test', provider()).catch((error: unknown) => (failure = error));
    expect(failure).to.be.instanceOf(Error);
    const client = OpenFeature.getClient('test');
    expect(client.providerStatus).to.equal(ProviderStatus.ERROR);
    expect(await client.getBooleanValue('new-checkout', false)).to.equal(false);
    const ready = heard(client, 'PROVIDER_READY');
    away = false;
    await ready;
    expect(await client.getBooleanValue('new-checkout', false)).to.equal(true);

    await OpenFeature.setProviderAndWait('fatal', provider({ token: 'plt_no' })).catch(() => undefined);
    expect(OpenFeature.getClient('fatal').providerStatus).to.equal(ProviderStatus.FATAL);
  });
});
