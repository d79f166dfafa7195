// Drift alarms told outside by a service, and their ends behind them: logged, and sent to a webhook where one is configured.
// Each is told once to each sink, whichever of several services does it and however often they start; what is not taken is
// tried again, later and later, until its deadline. A replay runs no service, and so tells nobody.
import { setTimeout as pause } from 'node:timers/promises';
import { alarmMessage } from '#gateway/alarms/message.ts';
import { sendWebhook, type WebhookFault, type WebhookTarget } from '#gateway/alarms/webhook.ts';
import type { Figure } from '#gateway/http/metrics.ts';
import {
  type AlarmDeliveries,
  alarmDeliveries,
  type DueAlarm,
  type Told,
} from '#sagas/postgres/alarms/deliveries.ts';
import type { Pool } from '#streams/postgres/connect.ts';
import { webhookSink } from '../../alarm-settings.ts';
import { errorFields, type Log } from '../../telemetry/logs.ts';
import { sampled } from '../../telemetry/sampled.ts';

export interface AlarmKeeper extends AsyncDisposable {
  readonly figures: readonly Figure[];
}

export interface KeepAlarmsOptions {
  readonly pool: Pool;
  readonly log: Log;
  readonly webhook: WebhookTarget | undefined;
  readonly deadlineMs: number;
  /** 1,000 unless told. */
  readonly pollMs?: number;
  /** The first wait after a failure, doubled with each further one; 1,000 unless told. */
  readonly backoffMs?: number;
  /** How long a receiver may take; 10,000 unless told. */
  readonly answerWithinMs?: number;
}

const LOG_SINK = 'log';
/** Longer than a telling: a process that died in it is not waited for longer. */
const LEASE_MS = 60_000;
const BACKOFF_MS_MAX = 300_000;
const ASK_EVERY_MS = 5_000;

interface Telling extends KeepAlarmsOptions {
  readonly deliveries: AlarmDeliveries;
  readonly signal: AbortSignal;
}

export const keepAlarms = (options: KeepAlarmsOptions): AlarmKeeper => {
  const { pool, log, webhook, pollMs = 1_000 } = options;
  const sinks = [LOG_SINK, ...(webhook ? [webhookSink(webhook)] : [])];
  const deliveries = alarmDeliveries(pool, sinks);
  const ending = new AbortController();
  const telling: Telling = { ...options, deliveries, signal: ending.signal };
  const looking = (async () => {
    let opened = false;
    while (!ending.signal.aborted) {
      try {
        if (!opened) await deliveries.open();
        opened = true;
        // Together, so that none waits behind a receiver that hangs until its lease has passed.
        await Promise.all((await deliveries.take(LEASE_MS)).map((due) => tell(telling, due)));
      } catch (error) {
        log('warn', 'alarms wait', errorFields(error));
      }
      await pause(pollMs, undefined, { signal: ending.signal }).catch(() => undefined);
    }
  })();
  const load = sampled(() => deliveries.load(), ASK_EVERY_MS);
  return {
    figures: figuresOf(() => load.latest() ?? []),
    [Symbol.asyncDispose]: async () => {
      ending.abort();
      await looking;
      await load[Symbol.asyncDispose]();
    },
  };
};

const figuresOf = (latest: () => Awaited<ReturnType<AlarmDeliveries['load']>>): readonly Figure[] => [
  {
    name: 'ledger_alarms_undelivered',
    help: 'Drift alarms, and ends of them, that a sink has not taken: still on their way, or given up.',
    labels: ['sink', 'state'],
    read: () =>
      latest().flatMap(({ sink, waiting, givenUp }) => [
        { labels: { sink, state: 'waiting' }, value: waiting },
        { labels: { sink, state: 'given_up' }, value: givenUp },
      ]),
  },
];

const tell = async (telling: Telling, due: DueAlarm): Promise<void> => {
  const fault = due.sink === LOG_SINK ? logged(telling, due) : await sent(telling, due);
  // Stopped in the middle of it: the lease passes, and another attempt says it again.
  if (fault !== undefined && telling.signal.aborted) return;
  const told = toldOf(telling, due, fault);
  await telling.deliveries.settle(due, told);
  if (told.kind === 'delivered') return;
  const { tenant, alarmId: alarm, sink, attempt } = due;
  const news = due.end ? 'the end of an alarm' : 'an alarm';
  const what = { tenant, alarm, sink, attempt, ...(told.kind === 'again' && { againInMs: told.inMs }) };
  if (told.kind === 'again') telling.log('warn', `${news} was not taken: ${told.fault}`, what);
  else telling.log('error', `${news} is given up: ${told.fault}`, what);
};

const toldOf = (
  { deadlineMs, backoffMs = 1_000 }: Telling,
  { attempt, ageMs }: DueAlarm,
  failed: WebhookFault | undefined,
): Told => {
  if (failed === undefined) return { kind: 'delivered' };
  const { text: fault, afterMs } = failed;
  // A receiver that asks for more than is left of the deadline is asked once more at its end.
  const asked = Math.min(afterMs, Math.max(deadlineMs - ageMs, 0));
  const inMs = Math.max(Math.min(backoffMs * 2 ** (attempt - 1), BACKOFF_MS_MAX), asked);
  return ageMs + inMs > deadlineMs ? { kind: 'given up', fault } : { kind: 'again', inMs, fault };
};

const logged = ({ log }: Telling, { tenant, alarmId, alarm, end }: DueAlarm): undefined => {
  const { route, asOfSeq, divergent, seq } = alarm;
  const of = { tenant, route, alarm: alarmId };
  if (end === undefined)
    log('error', 'a drift alarm was raised: docs/operations/drift.md', { ...of, asOfSeq, divergent, seq });
  else {
    const { grounds, by, reason } = end;
    log('info', 'a drift alarm is over: the write path is open', {
      ...of,
      grounds,
      by,
      reason,
      seq: end.seq,
    });
  }
  return undefined;
};

const sent = async (
  { webhook, signal, answerWithinMs }: Telling,
  due: DueAlarm,
): Promise<WebhookFault | undefined> =>
  await sendWebhook(webhook as WebhookTarget, alarmMessage(due), {
    clock: Date.now,
    signal,
    ...(answerWithinMs !== undefined && { withinMs: answerWithinMs }),
  });
