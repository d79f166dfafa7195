import { expect } from 'chai';
import { type InstrumentOptions, ledgerInstruments } from '#deploy/telemetry/instruments.ts';
import { gatewayMetrics } from '#gateway/http/metrics.ts';

const lagOf = (projection: string, lagFacts: number, lagSecondsMax: number, haltedTenants = 0) => ({
  projection,
  takenFacts: 100 - lagFacts,
  lagFacts,
  lagSecondsMax,
  haltedTenants,
});

const pageOf = async (over: Partial<InstrumentOptions>): Promise<readonly string[]> => {
  const instruments = ledgerInstruments({
    tenantsNamedMax: 2,
    queuedFacts: () => 0,
    lag: () => [],
    totals: () => undefined,
    ...over,
  });
  const { body } = await gatewayMetrics([instruments], () => 0).page();
  return body.split('\n').filter((line) => /^ledger_(?:projection|facts|tenants|heads)/.test(line));
};

describe('deploy/telemetry/instruments', () => {
  it('shows how far each read model is behind, and for how many tenants it has halted', async () => {
    const lag = [lagOf('receipts', 12, 3.5), lagOf('tenants', 0, 0, 2)];
    expect(await pageOf({ lag: () => lag })).to.have.members([
      'ledger_projection_lag_seconds{projection="receipts"} 3.5',
      'ledger_projection_lag_seconds{projection="tenants"} 0',
      'ledger_projection_lag_events{projection="receipts"} 12',
      'ledger_projection_lag_events{projection="tenants"} 0',
      'ledger_projection_taken_events{projection="receipts"} 88',
      'ledger_projection_taken_events{projection="tenants"} 100',
      'ledger_projection_halted_tenants{projection="receipts"} 0',
      'ledger_projection_halted_tenants{projection="tenants"} 2',
    ]);
  });

  it('shows nothing, and not the last figure, while it cannot ask', async () => {
    let known = true;
    const instruments = ledgerInstruments({
      tenantsNamedMax: 2,
      queuedFacts: () => 0,
      lag: () => (known ? [lagOf('receipts', 12, 3.5)] : []),
      totals: () => (known ? { facts: 7, tenants: 2 } : undefined),
    });
    const metrics = gatewayMetrics([instruments], () => 0);
    const figures = async () =>
      (await metrics.page()).body.match(/^ledger_(?:projection_lag_events|facts|tenants)\S* \d+$/gm);
    expect(await figures()).to.have.members([
      'ledger_projection_lag_events{projection="receipts"} 12',
      'ledger_facts 7',
      'ledger_tenants 2',
    ]);
    known = false;
    expect(await figures()).to.equal(null);
  });

  it('shows the heads that were lost, where a heads file is kept', async () => {
    const heads = { lost: () => [1, 2], checkedAt: () => 1_763_715_600 };
    expect(await pageOf({ heads })).to.deep.equal([
      'ledger_heads_lost 2',
      'ledger_heads_checked_timestamp_seconds 1763715600',
    ]);
    expect(await pageOf({})).to.deep.equal([]);
  });
});
