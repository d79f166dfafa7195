// On the embedded database one process does everything: a service that has a Kafka and a registry configured takes
// messages too. On a database of one's own that is the work of `prov-ledger kafka-ingest`.
import type { Measure } from '#gateway/http/metrics.ts';
import type { MessageIntakeOptions } from './message-intake.ts';

export interface IntakeBeside extends AsyncDisposable {
  /** Empty where no messages are taken. */
  readonly measures: readonly Measure[];
  /** Settles when it has ended by itself, which is a failure. */
  readonly failed: Promise<unknown>;
}

/** Throws `CliError` when a file of its settings cannot be read. */
export const intakeBeside = async (options: MessageIntakeOptions): Promise<IntakeBeside | undefined> => {
  const { databaseUrl, kafkaBrokers, registryUrl } = options.configuration;
  if (databaseUrl !== undefined || kafkaBrokers === undefined || registryUrl === undefined) return undefined;
  // Loaded only here: most services have no Kafka.
  const { startMessageIntake } = await import('./message-intake.ts');
  const { sampledFlow } = await import('./ingest.ts');
  const { messageFigures } = await import('../../telemetry/message-figures.ts');
  await using opening = new AsyncDisposableStack();
  const samples = opening.use(sampledFlow(options.ledger));
  const intake = opening.use(startMessageIntake(options));
  const open = opening.move();
  options.log('info', 'taking messages', { brokers: kafkaBrokers.join(','), registry: registryUrl });
  return {
    measures: messageFigures({ ...samples, ...intake }),
    failed: intake.failed,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
};
