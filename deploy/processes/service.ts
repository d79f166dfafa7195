// The service: HTTP and, unless told otherwise, the read models, in one process on one wired ledger.

import { CliError } from '#gateway/cli/exit.ts';
import { visible } from '#gateway/cli/output.ts';
import type { RunningService, ServeOptions } from '#gateway/cli/world.ts';
import { createGateway } from '#gateway/http/server.ts';
import { receiptList } from '#projectors/postgres/receipt-list.ts';
import { type Instant, instantText } from '#schemas/ids.ts';
import { type Configuration, LOG_LEVELS, type LogLevel } from '../configuration.ts';
import type { ServerEvent } from '../embedded/server.ts';
import { version } from './version.ts';
import type { WiredLedger } from './wire.ts';

export type Log = (level: LogLevel, message: string) => void;

/** One line an event on standard error. */
export const logTo =
  (stream: { readonly write: (text: string) => unknown }, most: LogLevel): Log =>
  (level, message) => {
    if (LOG_LEVELS.indexOf(level) <= LOG_LEVELS.indexOf(most))
      stream.write(`${instantText(Date.now() as Instant)} ${level.padEnd(5)} ${visible(message)}\n`);
  };

/** What the embedded server does by itself, for whoever watches. */
export const logServerEvent = (log: Log, event: ServerEvent): void => {
  switch (event.type) {
    case 'started':
      return;
    case 'orphanStopped':
      return log(
        'info',
        `stopped the PostgreSQL (process ${event.pid}) that a process which died had left behind`,
      );
    case 'staleLockRemoved':
      return log('info', 'PostgreSQL did not end orderly last time; it recovers by itself');
    case 'exited':
      return log('warn', `PostgreSQL ended by itself (${event.signal ?? event.code}); it is started again`);
    case 'restartFailed':
      return log(
        'error',
        `PostgreSQL did not start again: ${event.message}; next try in ${event.retryInMs} ms`,
      );
    default:
      event satisfies never;
  }
};

interface ServiceParts {
  readonly configuration: Configuration;
  readonly ledger: WiredLedger;
  readonly log: Log;
}

/** Starts on an open ledger, which it does not close. */
export const startService = async (
  { configuration, ledger, log }: ServiceParts,
  options: ServeOptions = {},
): Promise<RunningService> => {
  const ending = new AbortController();
  const gateway = createGateway({
    store: ledger.store,
    // Opened when somebody watches: a feed holds a connection.
    feed: { subscribe: (options) => ledger.feed.subscribe(options) },
    listReceipts: receiptList(ledger.pool),
    jwks: ledger.jwks,
    readiness: () => readiness(ledger),
    build: {
      name: 'prov-ledger',
      version,
      runtime: `node ${process.version} ${process.platform}/${process.arch}`,
    },
    measures: [
      {
        name: 'ledger_append_queue_facts',
        help: 'Facts waiting for a commit.',
        read: () => [{ value: ledger.store.queuedFacts() }],
      },
    ],
    onFault: (error, requestId) =>
      log('error', `${requestId ?? 'a request'}: ${(error as Error).stack ?? String(error)}`),
  });
  const url = await listen(gateway, { configuration, options, log });
  const projecting = options.withoutProjectors
    ? Promise.resolve()
    : ledger.project(ending.signal, {
        onHalt: ({ projection, tenant, seq, message }) =>
          log('error', `the read model ${projection} has halted for ${tenant} at fact ${seq}: ${message}`),
        onRetry: (error, delayMs) => log('warn', `the read models wait ${delayMs} ms: ${error.message}`),
      });
  const failed = Promise.withResolvers<unknown>();
  projecting.catch((error: unknown) => failed.resolve(error));
  return {
    url,
    failed: failed.promise,
    drain: async () => {
      await gateway.drain();
      ending.abort();
      await projecting.catch(() => undefined);
    },
  };
};

const PORTS_TRIED = 20;

interface Listening {
  readonly configuration: Configuration;
  readonly options: ServeOptions;
  readonly log: Log;
}

const listen = async (
  gateway: ReturnType<typeof createGateway>,
  { configuration, options, log }: Listening,
): Promise<string> => {
  const host = options.host ?? configuration.httpHost;
  const first = options.port ?? configuration.httpPort;
  const asked = options.port !== undefined || configuration.httpPortGiven;
  for (let port = first; ; port += 1) {
    try {
      return await gateway.listen({ host, port });
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === 'EADDRINUSE' && !asked && port < first + PORTS_TRIED) {
        log('warn', `port ${port} is taken; trying ${port + 1}`);
        continue;
      }
      const what =
        code === 'EADDRINUSE'
          ? 'the port is taken: choose another, or 0 for a free one (PROV_LEDGER_HTTP_PORT or --port)'
          : message;
      throw new CliError('unavailable', 'cannot-listen', `cannot listen on ${host}:${port}: ${what}`, {
        cause: error,
      });
    }
  }
};

const readiness = async ({ pool }: WiredLedger) => {
  try {
    await pool.query('SELECT 1');
    return { ready: true, missing: [] };
  } catch (error) {
    return { ready: false, missing: [`the database does not answer: ${(error as Error).message}`] };
  }
};
