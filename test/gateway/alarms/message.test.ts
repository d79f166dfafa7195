import { expect } from 'chai';
import { alarmMessage } from '#gateway/alarms/message.ts';
import { tenantId } from '#schemas/ids.ts';

const firing = {
  tenant: tenantId('acme'),
  alarmId: '4f1c',
  alarm: {
    route: 'receipts',
    asOfSeq: 4711,
    divergent: 1,
    inARow: 1,
    raisedAt: 1_763_719_200_000,
    seq: 4713,
  },
  end: undefined,
};
const resolved = {
  ...firing,
  end: {
    route: 'receipts',
    grounds: 'ordered',
    by: 'Zoë "on call"',
    reason: 'the second store is retired',
    reopenedAt: 1_763_719_980_000,
    seq: 4790,
  },
} as const;

describe('gateway/alarms/message', () => {
  it('an alarm and its end name the same alarm, and are messages of their own', () => {
    const [one, other] = [alarmMessage(firing), alarmMessage(resolved)];
    expect([one.id, other.id]).to.deep.equal(['4f1c', '4f1c-resolved']);
    const [raised, over] = [JSON.parse(one.body), JSON.parse(other.body)];
    expect([raised.data.status, over.data.status]).to.deep.equal(['firing', 'resolved']);
    expect(over.data, 'all that was said of it is said again').to.deep.include({
      ...raised.data,
      status: 'resolved',
    });
  });

  it('each is of the time when it happened', () => {
    expect(JSON.parse(alarmMessage(firing).body).timestamp).to.equal('2025-11-21T10:00:00.000Z');
    const { timestamp, data } = JSON.parse(alarmMessage(resolved).body);
    expect(timestamp).to.equal('2025-11-21T10:13:00.000Z');
    expect(data).to.include({
      raised_at: '2025-11-21T10:00:00.000Z',
      resolved_at: timestamp,
      resolved_seq: 4790,
      grounds: 'ordered',
      by: 'Zoë "on call"',
      reason: 'the second store is retired',
    });
  });
});
