import { expect } from 'chai';
import { Registry } from 'prom-client';
import { flagInstruments } from '#deploy/telemetry/flag-instruments.ts';
import type { FlagShare } from '#projectors/postgres/flag-list.ts';

describe('deploy/telemetry: flags', () => {
  it('a flag that is not among those asked for any more has no series', async () => {
    let shares: readonly FlagShare[] = [{ tenant: 'acme' as never, feature: 'new-checkout', pct: 10 }];
    const registry = new Registry();
    flagInstruments(() => shares).register(registry as never);
    expect(await registry.metrics()).to.include('flag_ramp_pct{tenant="acme",feature="new-checkout"} 10\n');
    shares = [{ tenant: 'acme' as never, feature: 'dark-mode', pct: 50 }];
    const page = await registry.metrics();
    expect(page).to.include('flag_ramp_pct{tenant="acme",feature="dark-mode"} 50\n');
    expect(page).to.not.include('new-checkout');
  });
});
