// Whether there is tracing at all. Only the standard variables of OpenTelemetry decide; while they name no collector,
// nothing of its SDK is loaded and no port is wrapped.
import type { CommitDone } from '#streams/postgres/commit.ts';
import type { StreamFeed, StreamStore } from '#streams/stream.ts';
import type { WatchedRequest } from './requests.ts';

export interface Tracing {
  /** A span for each append, child of the request's; the facts carry it on. */
  readonly store: <S extends StreamStore>(store: S) => S;
  /** A span for each commit, linked with the appends that are in it. Does not throw. */
  readonly committed: (commit: CommitDone) => void;
  /** A span for each batch that the read models take, linked with the appends of its facts. */
  readonly feed: (feed: StreamFeed) => StreamFeed;
  /** A span for the request; returns what ends it. */
  readonly request: (request: WatchedRequest) => (status: number) => void;
  /** Sends what is left. */
  readonly close: () => Promise<void>;
}

type Environment = { readonly [name: string]: string | undefined };

export const tracingWanted = (env: Environment): boolean => {
  if (env['OTEL_SDK_DISABLED']?.toLowerCase() === 'true') return false;
  const exporter = env['OTEL_TRACES_EXPORTER'];
  if (exporter) return exporter !== 'none';
  return Boolean(env['OTEL_EXPORTER_OTLP_ENDPOINT'] ?? env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT']);
};

export const openTracing = async (env: Environment, version: string): Promise<Tracing | undefined> => {
  if (!tracingWanted(env)) return undefined;
  const { startTracing } = await import('./spans.ts');
  return startTracing(env, version);
};
