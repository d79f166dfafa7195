import { gates } from '#commands/gates.ts';
import type { WritePathRestored, WritePathRolledBack } from '#schemas/gates.ts';
import { given } from '#test/support/given.ts';

describe('commands/gates', () => {
  const closed: WritePathRolledBack = {
    type: 'gates.WritePathRolledBack',
    data: { route: 'receipts', epoch: 1, alarm_id: 'a-1', reason: '3 elements differ' },
  };
  const restored: WritePathRestored = {
    type: 'gates.WritePathRestored',
    data: { route: 'receipts', epoch: 2, grounds: 'attested', reason: 'the stores agree' },
  };
  const close = {
    type: 'RollBackWritePath',
    route: 'receipts',
    alarmId: 'a-1',
    reason: '3 elements differ',
  } as const;
  const restore = {
    type: 'RestoreWritePath',
    route: 'receipts',
    grounds: 'attested',
    reason: 'the stores agree',
  } as const;

  it('each move counts the epoch up', () => {
    given(gates).when(close).then(closed);
    given(gates, closed).when(restore).then(restored);
    given(gates, closed, restored)
      .when({ type: 'RollBackWritePath', route: 'receipts', reason: 'see ticket 4711' })
      .then({
        type: 'gates.WritePathRolledBack',
        data: { route: 'receipts', epoch: 3, reason: 'see ticket 4711' },
      });
  });

  it('what is closed cannot be closed, what is open not restored', () => {
    given(gates, closed).when(close).thenRefused('WritePathAlreadyClosed');
    given(gates).when(restore).thenRefused('WritePathOpen');
    given(gates, closed, restored).when(restore).thenRefused('WritePathOpen');
  });

  it('grounds for an earlier closing do not restore a later one', () => {
    const later = { ...closed, data: { ...closed.data, epoch: 3 } };
    given(gates, closed, restored, later)
      .when({ ...restore, epoch: 1 })
      .thenRefused('WritePathMovedOn');
    given(gates, closed, restored, later)
      .when({ ...restore, epoch: 3 })
      .then({ ...restored, data: { ...restored.data, epoch: 4 } });
  });
});
