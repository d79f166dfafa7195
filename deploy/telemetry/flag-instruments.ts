// Figures of the flags, on the gateway's page.
import { Gauge } from 'prom-client';
import type { Instruments, OpenMetricsRegistry } from '#gateway/http/metrics.ts';
import type { FlagShare } from '#projectors/postgres/flag-list.ts';

/** Flags with a series of their own: those that moved last. Each one is a series that a scraper keeps for weeks. */
export const FLAGS_NAMED_MAX = 500;

/** `shares`: as last sampled, `FLAGS_NAMED_MAX` at most; none while they are not known. */
export const flagInstruments = (shares: () => readonly FlagShare[]): Instruments => {
  const gauge = new Gauge({
    name: 'flag_ramp_pct',
    help: `In a hundred subjects, how many get the feature. The ${FLAGS_NAMED_MAX} flags that moved last.`,
    labelNames: ['tenant', 'feature'],
    registers: [],
    collect() {
      this.reset();
      for (const { tenant, feature, pct } of shares()) this.set({ tenant, feature }, pct);
    },
  });
  return {
    register: (registry) =>
      registry.registerMetric(gauge as Parameters<OpenMetricsRegistry['registerMetric']>[0]),
  };
};
