// The process `kafka-ingest`: messages into the ledger, with an address for operators and no other. Any number of them
// share the partitions; what each takes is stored once, whoever else takes it.
import { setTimeout as pause } from 'node:timers/promises';
import type { RunningWorker } from '#gateway/cli/world.ts';
import { createOperators } from '#gateway/http/operators.ts';
import { readPartitions } from '#streams/postgres/transport/flow.ts';
import { countOpenLetters } from '#streams/postgres/transport/letters.ts';
import { errorFields } from '../../telemetry/logs.ts';
import { messageFigures, processFigures } from '../../telemetry/message-figures.ts';
import { sampled } from '../../telemetry/sampled.ts';
import type { WiredLedger } from '../ledger/wire.ts';
import { listenOnce } from '../running/listening.ts';
import { observe } from '../running/observed.ts';
import { readiness } from '../running/readiness.ts';
import { startReport } from '../running/start-report.ts';
import type { ServingParts } from '../serving.ts';
import { type MessageIntake, startMessageIntake } from './message-intake.ts';

const ASK_EVERY_MS = 5_000;
const READY_WITHIN_MS = 2_000;

/** What is asked of the database about messages, whoever took them. */
export const sampledFlow = ({ pool }: Pick<WiredLedger, 'pool'>) => {
  const stack = new AsyncDisposableStack();
  const flow = stack.use(sampled(() => readPartitions(pool), ASK_EVERY_MS));
  const letters = stack.use(sampled(() => countOpenLetters(pool), ASK_EVERY_MS));
  return {
    flow: flow.latest,
    letters: letters.latest,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
};

/** Starts on an open ledger, which it does not close; a broker that does not answer is waited for. */
export const startKafkaIngest = async ({
  configuration,
  ledger,
  telemetry: { log },
}: ServingParts): Promise<RunningWorker> => {
  await using opening = new AsyncDisposableStack();
  const observed = opening.use(await observe({ configuration, ledger, log }));
  const lostHeads = (): number => observed.heads?.lost().length ?? 0;
  const samples = opening.use(sampledFlow(ledger));
  const intake: MessageIntake = opening.use(startMessageIntake({ configuration, ledger, log, lostHeads }));
  let stopping = false;
  const ready = readiness({
    pool: ledger.pool,
    ledgerId: ledger.store.ledgerId,
    projectors: [],
    withinMs: Math.min(READY_WITHIN_MS, configuration.storeSeconds * 1_000),
    lostHeads,
  });
  const operators = opening.use(
    createOperators({
      readiness: async () => {
        if (stopping) return { ready: false, missing: ['the process is stopping'] };
        const missing = [...(await ready()).missing, ...intake.missing()];
        return { ready: missing.length === 0, missing };
      },
      measures: [...messageFigures({ ...samples, ...intake }), ...observed.figures, processFigures],
      onFault: (error, requestId) => log('error', 'a request failed', { requestId, ...errorFields(error) }),
    }),
  );
  const operatorsUrl = await listenOnce(operators, configuration, log);
  const running = opening.move();
  const { kafkaBrokers, kafkaGroup, registryUrl } = configuration;
  log('info', 'taking messages', {
    operatorsUrl,
    ...startReport({ configuration, options: { withoutProjectors: true }, ledger, observed }),
    brokers: kafkaBrokers?.join(','),
    group: kafkaGroup,
    registry: registryUrl,
  });
  return {
    operatorsUrl,
    failed: intake.failed,
    drain: async () => {
      stopping = true;
      await pause(configuration.lameDuckSeconds * 1_000);
      await running.disposeAsync();
      log('info', 'drained');
    },
  };
};
