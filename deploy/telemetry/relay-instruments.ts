// Figures of the relay: what it has sent, what it has still to send, and what keeps it from it.

import { Counter, collectDefaultMetrics, Gauge } from 'prom-client';
import type { Instruments, OpenMetricsRegistry } from '#gateway/http/metrics.ts';
import type { RelayEvent } from '#streams/kafka/relay-event.ts';
import type { RelayLag } from '#streams/postgres/transport/relayed.ts';

export interface RelayInstruments extends Instruments {
  readonly told: (event: RelayEvent) => void;
  /** What keeps it from sending; nothing while it sends, and while another relay does. */
  readonly missing: () => readonly string[];
}

export interface RelayInstrumentOptions {
  /** As last sampled; nothing while it is not known. */
  readonly lag: () => RelayLag | undefined;
}

const registers: [] = [];

export const relayInstruments = ({ lag }: RelayInstrumentOptions): RelayInstruments => {
  const state = { leading: false, waitsFor: '', halted: new Set<string>() };
  const sent = new Counter({
    name: 'ledger_relay_facts_total',
    help: 'Facts that a broker has acknowledged to this process, repetitions too.',
    registers,
  });
  const anew = new Counter({
    name: 'ledger_relay_topics_anew_total',
    help: 'Times that a topic was found made anew, and everything was sent again.',
    registers,
  });
  const gauge = (name: string, help: string, value: () => number | undefined) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        const known = value();
        if (known === undefined) this.remove();
        else this.set(known);
      },
    });
  const all = [
    sent,
    anew,
    gauge('ledger_relay_leading', '1: this process sends; 0: another one does, or none.', () =>
      Number(state.leading),
    ),
    gauge(
      'ledger_relay_lag_facts',
      'Facts recorded and not yet on the topic, whoever sends them.',
      () => lag()?.facts,
    ),
    gauge('ledger_relay_lag_tenants', 'Tenants that the topic lacks facts of.', () => lag()?.tenants),
    gauge(
      'ledger_relay_halted_tenants',
      'Tenants of which nothing is sent any more: the store holds another history than the topic.',
      () => state.halted.size,
    ),
  ];
  return {
    register: (registry) => {
      for (const metric of all)
        registry.registerMetric(metric as Parameters<OpenMetricsRegistry['registerMetric']>[0]);
      collectDefaultMetrics({ register: registry });
    },
    told: (event) => {
      if (event.type === 'sent') sent.inc(event.facts);
      if (event.type === 'anew') anew.inc();
      if (event.type === 'halted') state.halted.add(event.tenant);
      if (event.type === 'leading' || event.type === 'waiting') state.leading = event.type === 'leading';
      if (event.type === 'waiting')
        state.waitsFor = WAITS_FOR[event.error.code] ?? 'an answer; the log says whose';
      else state.waitsFor = '';
    },
    missing: () => (state.waitsFor === '' ? [] : [state.waitsFor]),
  };
};

const WAITS_FOR: { readonly [code: string]: string } = {
  unavailable: 'Kafka or the database: it does not answer',
  'no-such-topic': 'a topic: run `prov-ledger topics apply`',
  'no-such-schema': 'a schema in the registry: run `prov-ledger schemas publish`',
  'registry-unavailable': 'the registry of schemas: it does not answer',
  forbidden: 'rights at the broker or in the database',
};
