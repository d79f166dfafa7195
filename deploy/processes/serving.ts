// The commands that stay, the service and the workers: each with its telemetry and a ledger of its own, closed after it.
import type { RunningService, RunningWorker, ServeOptions } from '#gateway/cli/world.ts';
import type { Configuration } from '../configuration.ts';
import type { LogStream } from '../telemetry/logs.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { commandError, openLedger, type WiredLedger } from './ledger/wire.ts';
import { version } from './version.ts';

export interface Serving {
  readonly configuration: Configuration;
  readonly env: NodeJS.ProcessEnv;
  /** Takes the log. */
  readonly stderr: LogStream;
}

export interface ServingParts {
  readonly configuration: Configuration;
  readonly ledger: WiredLedger;
  readonly telemetry: Telemetry;
}

/** Throws `CliError`. */
export const serve = async (serving: Serving, options: ServeOptions): Promise<RunningService> => {
  // Loaded for this command alone: HTTP is a third of what the program reads at its start.
  const { startService } = await import('./service.ts');
  return await begun(
    { ...serving, countsCommits: true },
    async (parts) => await startService(parts, options),
  );
};

/** Throws `CliError`. */
export const begun = async <Running extends RunningWorker>(
  { configuration, env, stderr, countsCommits = false }: Serving & { readonly countsCommits?: boolean },
  begin: (parts: ServingParts) => Promise<Running>,
): Promise<Running> => {
  const { openTelemetry } = await import('../telemetry/telemetry.ts');
  await using opening = new AsyncDisposableStack();
  const telemetry = opening.use(await openTelemetry({ configuration, env, version, stream: stderr }));
  const onCommit = countsCommits ? telemetry.onCommit : undefined;
  const ledger = opening.use(await openLedger(configuration, { onCommit, serving: true }));
  const running = await begin({ configuration, ledger, telemetry }).catch((error: unknown) => {
    throw commandError(error);
  });
  const open = opening.move();
  return {
    ...running,
    drain: async () => {
      await running.drain();
      await open.disposeAsync();
    },
  };
};
