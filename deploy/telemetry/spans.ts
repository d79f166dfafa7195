// The spans: request, append, commit, projection. A trace runs from one to the next by `traceparent`, as between
// programs: each hop puts its own in the place of the one it got. A commit and a projected batch belong to many traces
// at once, so they are spans of their own and linked.
import { type Link, ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { NodeSDK } from '@opentelemetry/sdk-node';
import type { CommitDone } from '#streams/postgres/commit.ts';
import type { AppendRequest, FeedBatch, StreamFeed, StreamStore } from '#streams/stream.ts';
import type { WatchedRequest } from './requests.ts';
import type { Tracing } from './traced.ts';
import { parseTraceparent, traceparentText } from './traceparent.ts';

/** Links of one span; what an SDK keeps at most unless OTEL_SPAN_LINK_COUNT_LIMIT says otherwise. */
const LINKS_MAX = 128;

export const startTracing = (
  env: { readonly [name: string]: string | undefined },
  version: string,
): Tracing => {
  const sdk = new NodeSDK({
    ...(env['OTEL_SERVICE_NAME'] ? {} : { serviceName: 'prov-ledger' }),
    // Traces alone: figures are at /metrics, logs on standard error.
    metricReaders: [],
    logRecordProcessors: [],
    textMapPropagator: null,
  });
  sdk.start();
  const tracer = trace.getTracer('prov-ledger', version);
  const open = new Map<string, Span>();
  const begin = (
    name: string,
    options: {
      readonly kind: SpanKind;
      readonly from?: unknown;
      readonly links?: Link[];
      readonly startTime?: number;
    },
  ): Span => {
    const parent = parseTraceparent(options.from);
    const context = parent ? trace.setSpanContext(ROOT_CONTEXT, { ...parent, isRemote: true }) : ROOT_CONTEXT;
    const { kind, links, startTime } = options;
    return tracer.startSpan(
      name,
      { kind, ...(links && { links }), ...(startTime !== undefined && { startTime }) },
      context,
    );
  };
  return {
    store: (store) => tracedStore(store, begin, open),
    committed: (commit) => commitSpan(commit, begin, open),
    feed: (feed) => tracedFeed(feed, begin),
    request: (request) => requestSpan(request, begin),
    close: () => sdk.shutdown(),
  };
};

type Begin = (
  name: string,
  options: {
    readonly kind: SpanKind;
    readonly from?: unknown;
    readonly links?: Link[];
    readonly startTime?: number;
  },
) => Span;

const requestSpan = ({ method, route, requestId, headers }: WatchedRequest, begin: Begin) => {
  const span = begin(`${method} ${route}`, { kind: SpanKind.SERVER, from: headers['traceparent'] });
  span.setAttributes({ 'http.request.method': method, 'http.route': route });
  // Whoever reads the header from now on is called by this span.
  headers['traceparent'] = traceparentText(span.spanContext());
  return (status: number): void => {
    span.setAttributes({
      'http.response.status_code': status,
      'ledger.request_id': requestId,
    });
    if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
    span.end();
  };
};

const tracedStore = <S extends StreamStore>(store: S, begin: Begin, open: Map<string, Span>): S => ({
  ...store,
  append: async (request) => {
    const span = begin('ledger append', { kind: SpanKind.INTERNAL, from: request.drafts[0]?.traceparent });
    const traceparent = traceparentText(span.spanContext());
    const drafts = request.drafts.map((draft) => ({ ...draft, traceparent }));
    open.set(traceparent, span);
    span.setAttributes({ 'ledger.tenant': request.tenant, 'ledger.facts': drafts.length });
    try {
      const result = await store.append({ ...request, drafts });
      span.setAttribute('ledger.outcome', result.kind);
      if (result.kind === 'appended' && result.facts[0]) {
        const { fact, proof } = result.facts[0];
        span.setAttributes({ 'ledger.seq': fact.seq, 'ledger.hash': fact.hash, 'ledger.kid': proof.kid });
      }
      return result;
    } catch (error) {
      // The message may quote what came in; the code says enough.
      const { code } = error as { readonly code?: unknown };
      span.setStatus({ code: SpanStatusCode.ERROR, message: typeof code === 'string' ? code : 'defect' });
      throw error;
    } finally {
      open.delete(traceparent);
      span.end();
    }
  },
});

const commitSpan = (commit: CommitDone, begin: Begin, open: ReadonlyMap<string, Span>): void => {
  const links = linksTo(commit.requests.map(({ drafts }: AppendRequest) => drafts[0]?.traceparent));
  const span = begin('ledger commit', {
    kind: SpanKind.INTERNAL,
    links,
    startTime: Date.now() - commit.seconds * 1_000,
  });
  span.setAttributes({
    'ledger.facts': commit.facts,
    'ledger.tenants': commit.tenants,
    'ledger.kid': commit.kid,
  });
  for (const { drafts } of commit.requests)
    open.get(drafts[0]?.traceparent ?? '')?.addLink({ context: span.spanContext() });
  span.end();
};

const tracedFeed = (feed: StreamFeed, begin: Begin): StreamFeed => ({
  subscribe: async function* (options) {
    for await (const batch of feed.subscribe(options)) {
      const span = projectionSpan(batch, begin);
      try {
        yield batch;
      } finally {
        span.end();
      }
    }
  },
  [Symbol.asyncDispose]: () => feed[Symbol.asyncDispose](),
});

const projectionSpan = ({ tenant, facts }: FeedBatch, begin: Begin): Span => {
  const links = linksTo(facts.map(({ traceparent }) => traceparent));
  const span = begin('ledger project', { kind: SpanKind.CONSUMER, links });
  span.setAttributes({
    'ledger.tenant': tenant,
    'ledger.facts': facts.length,
    'ledger.seq': facts.at(-1)?.seq ?? 0,
  });
  return span;
};

const linksTo = (traceparents: readonly (string | undefined)[]): Link[] => {
  const links: Link[] = [];
  for (const text of new Set(traceparents)) {
    const context = parseTraceparent(text);
    if (context) links.push({ context: { ...context, isRemote: true } });
    if (links.length === LINKS_MAX) break;
  }
  return links;
};
