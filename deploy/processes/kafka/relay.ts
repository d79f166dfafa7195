// The process `kafka-relay`: the ledger out to Kafka, with an address for operators and no other. Several may run: one
// sends, the others wait for its turn to end.

import type { RunningWorker } from '#gateway/cli/world.ts';
import { createOperators } from '#gateway/http/operators.ts';
import type { Readiness } from '#gateway/http/routes.ts';
import { kafkaConnection } from '#streams/kafka/connect.ts';
import { wireSchemas } from '#streams/kafka/registry.ts';
import { EVENTS_TOPIC, relayLedger } from '#streams/kafka/relay.ts';
import type { RelayEvent } from '#streams/kafka/relay-event.ts';
import { relayLag } from '#streams/postgres/transport/relayed.ts';
import { brokersOf, registryOf } from '../../kafka-settings.ts';
import { errorFields, type Log } from '../../telemetry/logs.ts';
import { type RelayInstruments, relayInstruments } from '../../telemetry/relay-instruments.ts';
import { sampled } from '../../telemetry/sampled.ts';
import { openTelemetry } from '../../telemetry/telemetry.ts';
import { commandError, openLedger, type WiredLedger } from '../ledger/wire.ts';
import { drainable } from '../running/draining.ts';
import { listenOnce } from '../running/listening.ts';
import { readiness } from '../running/readiness.ts';
import type { Serving } from '../serving.ts';
import { version } from '../version.ts';

const ASK_EVERY_MS = 5_000;
const READY_WITHIN_MS = 2_000;

/** Resolves when operators are answered; a broker that does not answer is waited for. Throws `CliError`. */
export const startKafkaRelay = async (serving: Serving): Promise<RunningWorker> => {
  try {
    return await start(serving);
  } catch (error) {
    throw commandError(error);
  }
};

const start = async ({ configuration, env, stderr }: Serving): Promise<RunningWorker> => {
  const brokers = brokersOf(configuration);
  const schemas = wireSchemas(registryOf(configuration));
  await using opening = new AsyncDisposableStack();
  const telemetry = opening.use(await openTelemetry({ configuration, env, version, stream: stderr }));
  const { log } = telemetry;
  const ledger = opening.use(await openLedger(configuration, { serving: true }));
  const { store, databases } = ledger;
  const connection = kafkaConnection({
    ...brokers,
    onLog: (level, message) => log(level, 'Kafka says', { message }),
  });
  const topic = connection.topic(EVENTS_TOPIC);
  const lag = opening.use(sampled(() => relayLag(databases, topic), ASK_EVERY_MS));
  const instruments = relayInstruments({ lag: lag.latest });
  const ending = new AbortController();
  const operators = opening.use(
    createOperators({
      readiness: readinessOf(ledger, instruments, ending.signal),
      measures: [instruments],
      onFault: (error, requestId) => log('error', 'a request failed', { requestId, ...errorFields(error) }),
    }),
  );
  const operatorsUrl = await listenOnce(operators, configuration, log);
  log('info', 'relaying', { operatorsUrl, brokers: brokers.brokers.join(','), topic });
  const relayed = relayLedger({
    connection,
    schemas,
    databases,
    store,
    feed: telemetry.feed(ledger.feed),
    signal: ending.signal,
    onEvent: (event) => {
      instruments.told(event);
      tell(log, event);
    },
  });
  return { operatorsUrl, ...drainable({ work: relayed, ending, open: opening.move(), log }) };
};

const readinessOf = (
  { pool, store }: Pick<WiredLedger, 'pool' | 'store'>,
  instruments: Pick<RelayInstruments, 'missing'>,
  stopping: AbortSignal,
) => {
  const { ledgerId } = store;
  const ready = readiness({ pool, ledgerId, projectors: [], withinMs: READY_WITHIN_MS, lostHeads: () => 0 });
  return async (): Promise<Readiness> => {
    const missing = [...(await ready()).missing, ...instruments.missing()];
    if (stopping.aborted) missing.push('the process is stopping');
    return { ready: missing.length === 0, missing };
  };
};

const tell = (log: Log, event: RelayEvent): void => {
  switch (event.type) {
    case 'leading':
      return log('info', 'this relay sends from now on', { topic: event.topic });
    case 'sent':
      return log('debug', 'sent', { facts: event.facts, tenants: event.tenants, seconds: event.seconds });
    case 'heads':
      return log('debug', 'heads announced', { tenants: event.tenants });
    case 'waiting':
      return log('warn', 'the relay waits', { delayMs: event.delayMs, ...errorFields(event.error) });
    case 'anew':
      return log('error', 'the topic was made anew: everything is sent again, from the store', {
        topic: event.topic,
        partition: event.partition,
      });
    case 'halted':
      return log('error', 'nothing of a tenant is sent any more', {
        tenant: event.tenant,
        seq: event.seq,
        message: event.message,
      });
    default:
      return event satisfies never;
  }
};
