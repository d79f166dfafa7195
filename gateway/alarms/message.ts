// What a receiver is told of a drift alarm: that it fires, and that it is resolved. Both carry the alarm's id, by which
// they belong together; each is a message of its own, under an id of its own, so that the second is not taken for the
// first said twice.
import type { AlarmState } from '#sagas/attestations.ts';
import type { Reopening } from '#sagas/gates.ts';
import { type Instant, instantText, type TenantId } from '#schemas/ids.ts';
import type { WebhookMessage } from './webhook.ts';

export interface AlarmNews {
  readonly tenant: TenantId;
  readonly alarmId: string;
  readonly alarm: AlarmState;
  /** What ended it; absent while it fires. */
  readonly end: Reopening | undefined;
}

const timeOf = (ms: number): string => instantText(ms as Instant);

/** The same bytes whenever it is asked. */
export const alarmMessage = ({ tenant, alarmId, alarm, end }: AlarmNews): WebhookMessage => {
  const { route, asOfSeq, divergent, inARow, raisedAt, seq } = alarm;
  const raised = {
    as_of_seq: asOfSeq,
    divergent,
    in_a_row: inARow,
    seq,
    raised_at: timeOf(raisedAt),
  };
  const of = { tenant, route, alarm_id: alarmId };
  if (end === undefined)
    return {
      id: alarmId,
      body: JSON.stringify({
        type: 'drift.alarm.raised',
        timestamp: timeOf(raisedAt),
        data: { ...of, status: 'firing', ...raised },
      }),
    };
  const { grounds, by, reason, reopenedAt } = end;
  const resolved = { resolved_at: timeOf(reopenedAt), resolved_seq: end.seq, grounds, by, reason };
  return {
    id: `${alarmId}-resolved`,
    body: JSON.stringify({
      type: 'drift.alarm.resolved',
      timestamp: timeOf(reopenedAt),
      data: { ...of, status: 'resolved', ...raised, ...resolved },
    }),
  };
};
