// ctrl-C and SIGTERM: the first asks for an orderly end, the second ends at once. What was acknowledged is durable either
// way, and an embedded server left behind is taken over by the next start.

const SECOND_EXIT = 130;

/** Aborts at the first signal, and when nobody reads standard output any more (`prov-ledger tail | head`). */
export const stopSignal = (): AbortSignal => {
  const stop = new AbortController();
  const onSignal = (): void => {
    if (stop.signal.aborted) process.exit(SECOND_EXIT);
    stop.abort();
  };
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, onSignal);
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    stop.abort();
  });
  return stop.signal;
};
