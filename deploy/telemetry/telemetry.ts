// Logs, metrics and traces of one process, and where they are put around its ports. Nothing here may change what a
// command decides or a caller is answered.
import type { Gateway } from '#gateway/http/server.ts';
import type { CommitDone } from '#streams/postgres/commit.ts';
import type { Appended, StreamFeed, StreamStore } from '#streams/stream.ts';
import type { Configuration } from '../configuration.ts';
import { type InstrumentOptions, type LedgerInstruments, ledgerInstruments } from './instruments.ts';
import { errorFields, type Log, type LogStream, logTo } from './logs.ts';
import { observedStore } from './observed-store.ts';
import { watchRequests } from './requests.ts';
import { openTracing } from './tracing.ts';

export interface Telemetry extends AsyncDisposable {
  readonly log: Log;
  readonly onCommit: (commit: CommitDone) => void;
  readonly store: <S extends StreamStore>(store: S) => S;
  readonly feed: (feed: StreamFeed) => StreamFeed;
  /** To be made once: what is recorded before is not counted. */
  readonly instruments: (parts: Omit<InstrumentOptions, 'tenantsNamedMax'>) => LedgerInstruments;
  /** From now on each request of the gateway, which must listen, has a line in the log and a span. */
  readonly watch: (gateway: Pick<Gateway, 'url' | 'routes'>) => Disposable;
}

export interface TelemetryOptions {
  readonly configuration: Pick<Configuration, 'logLevel' | 'logFormat' | 'metricsTenants'>;
  readonly env: { readonly [name: string]: string | undefined };
  readonly version: string;
  readonly stream: LogStream;
}

export const openTelemetry = async (options: TelemetryOptions): Promise<Telemetry> => {
  const { configuration, env, version, stream } = options;
  const log = logTo(stream, configuration.logLevel, configuration.logFormat);
  const tracing = await openTracing(env, version);
  let instruments: LedgerInstruments | undefined;
  const onAppended = (appended: readonly Appended[]): void => {
    instruments?.appended(appended);
    if (configuration.logLevel !== 'debug') return;
    for (const { fact, proof } of appended) {
      const { tenant, seq, hash, type } = fact;
      log('debug', 'recorded', { tenant, seq, hash, type, kid: proof.kid });
    }
  };
  return {
    log,
    onCommit: (commit) => {
      instruments?.committed(commit);
      tracing?.committed(commit);
    },
    store: (store) => observedStore(tracing ? tracing.store(store) : store, onAppended),
    feed: (feed) => (tracing ? tracing.feed(feed) : feed),
    instruments: (parts) =>
      (instruments = ledgerInstruments({ ...parts, tenantsNamedMax: configuration.metricsTenants })),
    watch: (gateway) => {
      if (!tracing && configuration.logLevel !== 'debug') return { [Symbol.dispose]: () => undefined };
      return watchRequests(gateway, (request) => {
        const traced = tracing?.request(request);
        return ({ status, ms }) => {
          traced?.(status);
          const { method, route, requestId } = request;
          log('debug', 'answered', {
            requestId,
            method,
            route,
            status,
            ms: Math.round(ms * 10) / 10,
          });
        };
      });
    },
    [Symbol.asyncDispose]: async () => {
      // A collector that is away must not keep a service from ending well.
      await tracing
        ?.close()
        .catch((error: unknown) => log('warn', 'the last spans were not sent', errorFields(error)));
    },
  };
};
