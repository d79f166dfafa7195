// Counts and latencies of the gateway, and the page that shows them with those of the rest of the process: in
// OpenMetrics with a trace as exemplar for who asks for it, else in Prometheus' text form.
import {
  Counter,
  Gauge,
  Histogram,
  type OpenMetricsContentType,
  Registry,
  type RegistryContentType,
} from 'prom-client';
import type { AppendRequest, AppendResult, StreamStore } from '#streams/stream.ts';

export type OpenMetricsRegistry = Registry<OpenMetricsContentType>;

/** A figure that another part of the process knows, read at each scrape. */
export interface Figure {
  /** Prometheus name with its unit last, e.g. `ledger_projection_lag_seconds`. */
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
  readonly read: () => readonly Sample[];
}

/** Instruments that another part of the process keeps by itself, shown on the same page. */
export interface Instruments {
  readonly register: (registry: OpenMetricsRegistry) => void;
}

export type Measure = Figure | Instruments;

export interface Sample {
  readonly labels?: { readonly [name: string]: string };
  readonly value: number;
}

export interface MetricsPage {
  readonly type: string;
  readonly body: string;
}

export interface GatewayMetrics {
  /** `accept` is the request's header. */
  readonly page: (accept?: string) => Promise<MetricsPage>;
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
  const registry = openMetricsRegistry();
  const { requests, seconds, appends, written } = gatewayInstruments(registry);
  const own: Figure = {
    name: 'ledger_http_requests_in_flight',
    help: 'Requests being answered.',
    read: () => [{ value: inFlight() }],
  };
  for (const measure of [own, ...measures]) {
    if ('read' in measure) gauge(measure, registry);
    else measure.register(registry);
  }
  const durable = (request: AppendRequest, value: number): void => {
    const traceId = traceIdOf(request);
    written.observe(traceId === undefined ? { value } : { value, exemplarLabels: { trace_id: traceId } });
  };
  return {
    page: async (accept = '') => {
      const body = await registry.metrics();
      return OPENMETRICS.test(accept)
        ? { type: registry.contentType, body }
        : { type: Registry.PROMETHEUS_CONTENT_TYPE, body: prometheusText(body) };
    },
    answered: ({ method, route, status, seconds: took }) => {
      requests.inc({ method, route, status });
      seconds.observe({ method, route }, took);
    },
    timed: (append) => async (request) => {
      const from = performance.now();
      let outcome: AppendResult['kind'] | 'failed' = 'failed';
      try {
        const result = await append(request);
        outcome = result.kind;
        return result;
      } finally {
        appends.inc({ outcome });
        if (outcome === 'appended') durable(request, (performance.now() - from) / 1_000);
      }
    },
  };
};

// The package's types know an argument of this constructor in its JavaScript only.
const openMetricsRegistry = (): OpenMetricsRegistry => {
  const registry: Registry<RegistryContentType> = new Registry();
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  return registry as OpenMetricsRegistry;
};

const gatewayInstruments = (registry: OpenMetricsRegistry) => {
  const registers = [registry];
  return {
    requests: new Counter({
      name: 'ledger_http_requests_total',
      help: 'Answered HTTP requests.',
      labelNames: ['method', 'route', 'status'],
      registers,
    }),
    seconds: new Histogram({
      name: 'ledger_http_request_seconds',
      help: 'From the last header byte to the last byte of the answer.',
      labelNames: ['method', 'route'],
      buckets: SECONDS,
      registers,
    }),
    appends: new Counter({
      name: 'ledger_appends_total',
      help: 'Appends by what became of them.',
      labelNames: ['outcome'],
      registers,
    }),
    written: new Histogram({
      name: 'ledger_write_latency_seconds',
      help: 'From an append to its durable commit.',
      buckets: SECONDS,
      enableExemplars: true,
      registers,
    }),
  };
};

const OPENMETRICS = /(?:^|,)\s*application\/openmetrics-text(?!\s*;[^,]*\bq=0(?:\.0*)?\s*(?:,|$))/i;

/** W3C Trace Context: `00-<trace id>-<parent id>-<flags>`; the gateway lets no other form through. */
const traceIdOf = ({ drafts }: AppendRequest): string | undefined => drafts[0]?.traceparent?.slice(3, 35);

/**
 * OpenMetrics to Prometheus' text form. One registry prints one form only, and two that share metrics rename each
 * other's counters (prom-client 15 cuts `_total` off the metric itself).
 */
const prometheusText = (openMetrics: string): string => {
  const counters = new Set(Array.from(openMetrics.matchAll(/^# TYPE (\S+) counter$/gm), ([, name]) => name));
  return openMetrics
    .replace(/# EOF\n$/, '')
    .replace(/^# (HELP|TYPE) (\S+)/gm, (line, _, name: string) =>
      counters.has(name) ? `${line}_total` : line,
    )
    .replace(/ # \{trace_id="[0-9a-f]+"\} \S+ \S+$/gm, '');
};

const gauge = ({ name, help, labels = [], read }: Figure, registry: OpenMetricsRegistry): void => {
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
