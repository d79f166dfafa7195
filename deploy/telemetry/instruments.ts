// The ledger's own figures, put on the gateway's page. The decision path knows nothing of them: they are fed by what
// stands around the ports (`observedStore`, the store's `onCommit`) and by samples.
import { Counter, collectDefaultMetrics, Gauge, Histogram } from 'prom-client';
import type { Instruments, OpenMetricsRegistry } from '#gateway/http/metrics.ts';
import type { ProjectionLag } from '#projectors/postgres/lag.ts';
import type { CommitDone } from '#streams/postgres/commit.ts';
import type { LedgerTotals } from '#streams/postgres/totals.ts';
import type { Appended } from '#streams/stream.ts';
import { topTenants } from './top-tenants.ts';

export interface LedgerInstruments extends Instruments {
  readonly appended: (facts: readonly Appended[]) => void;
  readonly committed: (commit: CommitDone) => void;
}

export interface InstrumentOptions {
  /** Tenants with a name of their own; the rest are `other`. */
  readonly tenantsNamedMax: number;
  /** Facts waiting for a commit. */
  readonly queuedFacts: () => number;
  /** As last sampled; none while it is not known. */
  readonly lag: () => readonly ProjectionLag[];
  /** As last sampled; nothing while it is not known. */
  readonly totals: () => LedgerTotals | undefined;
  /** Of the heads file; without one there are no such series. */
  readonly heads?: KeptHeads | undefined;
}

export interface KeptHeads {
  readonly lost: () => readonly unknown[];
  /** Unix time in seconds. */
  readonly checkedAt: () => number;
}

const BATCH_FACTS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000];
const COMMIT_SECONDS = [
  0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1, 2.5, 5, 10,
];

const registers: [] = [];

export const ledgerInstruments = (options: InstrumentOptions): LedgerInstruments => {
  const events = new Counter({
    name: 'ledger_events_total',
    help: 'Facts recorded by this process. The busiest tenants by name, all others as "other".',
    labelNames: ['tenant', 'type'],
    registers,
  });
  const types = new Set<string>();
  const tenants = topTenants(options.tenantsNamedMax, (tenant) => {
    for (const type of types) events.remove({ tenant, type });
  });
  const facts = new Histogram({
    name: 'ledger_commit_batch_size',
    help: 'Facts in one commit and under one signature.',
    buckets: BATCH_FACTS,
    registers,
  });
  const seconds = new Histogram({
    name: 'ledger_commit_seconds',
    help: 'Planning, signing and storing one batch, until it is durable.',
    buckets: COMMIT_SECONDS,
    registers,
  });
  const all = [events, facts, seconds, ...gauges(options), ...totalGauges(options), ...headGauges(options)];
  return {
    register: (registry) => {
      for (const metric of all)
        registry.registerMetric(metric as Parameters<OpenMetricsRegistry['registerMetric']>[0]);
      collectDefaultMetrics({ register: registry });
    },
    appended: (appended) => {
      for (const { fact } of appended) {
        types.add(fact.type);
        events.inc({ tenant: tenants.label(fact.tenant, 1), type: fact.type });
      }
    },
    committed: (commit) => {
      facts.observe(commit.facts);
      seconds.observe(commit.seconds);
    },
  };
};

const gauges = ({ queuedFacts, lag }: InstrumentOptions) => {
  const ofProjection = (name: string, help: string, value: (lag: ProjectionLag) => number) =>
    new Gauge({
      name,
      help,
      labelNames: ['projection'],
      registers,
      collect() {
        this.reset();
        for (const each of lag()) this.set({ projection: each.projection }, value(each));
      },
    });
  return [
    new Gauge({
      name: 'ledger_append_queue_depth',
      help: 'Facts waiting for a commit.',
      registers,
      collect() {
        this.set(queuedFacts());
      },
    }),
    ofProjection(
      'ledger_projection_lag_seconds',
      'How long the oldest fact that a read model has not taken has been recorded; the worst tenant.',
      ({ lagSecondsMax }) => lagSecondsMax,
    ),
    ofProjection(
      'ledger_projection_lag_events',
      'Facts recorded and not yet taken by a read model; all tenants.',
      ({ lagFacts }) => lagFacts,
    ),
    ofProjection(
      'ledger_projection_taken_events',
      'Facts that a read model has taken: the sum of its checkpoints, all tenants.',
      ({ takenFacts }) => takenFacts,
    ),
    ofProjection(
      'ledger_projection_halted_tenants',
      'Tenants for which a read model has halted at a fact it cannot take.',
      ({ haltedTenants }) => haltedTenants,
    ),
  ];
};

// Counted by this process are only the facts that it recorded itself; these are everybody's, those of an import too.
const totalGauges = ({ totals }: InstrumentOptions) => {
  const sampledGauge = (name: string, help: string, value: (totals: LedgerTotals) => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        const known = totals();
        if (known) this.set(value(known));
        else this.remove();
      },
    });
  return [
    sampledGauge('ledger_facts', 'Facts in the ledger, whoever recorded them.', ({ facts }) => facts),
    sampledGauge('ledger_tenants', 'Tenants of the ledger.', ({ tenants }) => tenants),
  ];
};

const headGauges = ({ heads }: InstrumentOptions) => {
  if (!heads) return [];
  return [
    new Gauge({
      name: 'ledger_heads_lost',
      help: 'Heads of the heads file that the ledger does not have: it was rolled back, or written anew.',
      registers,
      collect() {
        this.set(heads.lost().length);
      },
    }),
    new Gauge({
      name: 'ledger_heads_checked_timestamp_seconds',
      help: 'When the ledger was last compared with the heads file.',
      registers,
      collect() {
        this.set(heads.checkedAt());
      },
    }),
  ];
};
