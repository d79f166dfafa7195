// Figures of the sagas, on the gateway's page: what they asked for and what became of it, and how far behind they are.
import { Counter, Gauge } from 'prom-client';
import type { Instruments, OpenMetricsRegistry } from '#gateway/http/metrics.ts';
import type { SagaLag } from '#sagas/postgres/lag.ts';
import type { SagaReaction } from '#sagas/run.ts';

export interface SagaInstruments extends Instruments {
  readonly reacted: (reaction: SagaReaction) => void;
}

const registers: [] = [];

/** `lag`: as last sampled; none while it is not known. */
export const sagaInstruments = (lag: () => readonly SagaLag[]): SagaInstruments => {
  const reactions = new Counter({
    name: 'ledger_saga_reactions_total',
    help: 'Commands that sagas of this process asked for, by what became of them.',
    labelNames: ['saga', 'command', 'outcome'],
    registers,
  });
  const ofSaga = (name: string, help: string, value: (lag: SagaLag) => number) =>
    new Gauge({
      name,
      help,
      labelNames: ['saga'],
      registers,
      collect() {
        this.reset();
        for (const each of lag()) this.set({ saga: each.saga }, value(each));
      },
    });
  const all = [
    reactions,
    ofSaga(
      'ledger_saga_lag_events',
      'Facts recorded and not yet taken by a saga; all tenants.',
      ({ lagFacts }) => lagFacts,
    ),
    ofSaga(
      'ledger_saga_halted_tenants',
      'Tenants for which a saga has halted at a fact it cannot take.',
      ({ haltedTenants }) => haltedTenants,
    ),
  ];
  return {
    register: (registry) => {
      for (const metric of all)
        registry.registerMetric(metric as Parameters<OpenMetricsRegistry['registerMetric']>[0]);
    },
    reacted: ({ saga, command, outcome }) => reactions.inc({ saga, command, outcome: outcome.kind }),
  };
};
