// Counts and latencies in Prometheus' text form, one registry per gateway. No tenant is named in any of them: the
// page is open, and tenants are none of a scraper's business.
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { AppendResult, StreamStore } from '#streams/stream.ts';

/** A figure that another part of the process knows, read at each scrape. */
export interface Measure {
  /** Prometheus name with its unit last, e.g. `ledger_append_queue_facts`. */
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
  readonly read: () => readonly Sample[];
}

export interface Sample {
  readonly labels?: { readonly [name: string]: string };
  readonly value: number;
}

export interface GatewayMetrics {
  readonly exposition: () => Promise<string>;
  readonly contentType: string;
  /** One answered request; `route` is the pattern, never the path. */
  readonly answered: (request: {
    readonly method: string;
    readonly route: string;
    readonly status: number;
    readonly seconds: number;
  }) => void;
  /** The same port, timed. */
  readonly timed: (append: StreamStore['append']) => StreamStore['append'];
}

const SECONDS = [
  0.0005, 0.001, 0.002, 0.003, 0.005, 0.008, 0.012, 0.02, 0.035, 0.06, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

export const gatewayMetrics = (measures: readonly Measure[], inFlight: () => number): GatewayMetrics => {
  const registry = new Registry();
  const registers = [registry];
  const requests = new Counter({
    name: 'ledger_http_requests_total',
    help: 'Answered HTTP requests.',
    labelNames: ['method', 'route', 'status'],
    registers,
  });
  const seconds = new Histogram({
    name: 'ledger_http_request_seconds',
    help: 'From the last header byte to the last byte of the answer.',
    labelNames: ['method', 'route'],
    buckets: SECONDS,
    registers,
  });
  const appends = new Counter({
    name: 'ledger_appends_total',
    help: 'Appends by what became of them.',
    labelNames: ['outcome'],
    registers,
  });
  const written = new Histogram({
    name: 'ledger_write_latency_seconds',
    help: 'From an append to its durable commit.',
    buckets: SECONDS,
    registers,
  });
  const own: Measure = {
    name: 'ledger_http_requests_in_flight',
    help: 'Requests being answered.',
    read: () => [{ value: inFlight() }],
  };
  for (const measure of [own, ...measures]) gauge(measure, registry);
  const settled = (outcome: AppendResult['kind'] | 'failed', from: number): void => {
    appends.inc({ outcome });
    if (outcome === 'appended') written.observe((performance.now() - from) / 1_000);
  };
  return {
    exposition: () => registry.metrics(),
    contentType: registry.contentType,
    answered: ({ method, route, status, seconds: took }) => {
      requests.inc({ method, route, status });
      seconds.observe({ method, route }, took);
    },
    timed: (append) => async (request) => {
      const from = performance.now();
      try {
        const result = await append(request);
        settled(result.kind, from);
        return result;
      } catch (error) {
        settled('failed', from);
        throw error;
      }
    },
  };
};

const gauge = ({ name, help, labels = [], read }: Measure, registry: Registry): void => {
  new Gauge({
    name,
    help,
    labelNames: [...labels],
    registers: [registry],
    collect() {
      this.reset();
      for (const { labels: of = {}, value } of read()) this.set({ ...of }, value);
    },
  });
};
