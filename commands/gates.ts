// A write path is closed, and opened again: a stream for each route, in the chain of the tenant whose route it is. Both
// count the epoch up; what was decided at an earlier one is refused.
import type { GateEvent } from '#schemas/gates.ts';
import { streamName } from '#schemas/ids.ts';
import { accept, type Decider, type Refusal, refuse } from './decider.ts';

export type GateCommand =
  | {
      readonly type: 'RollBackWritePath';
      readonly route: string;
      readonly reason: string;
      /** The alarm that asks for it; absent where somebody does. */
      readonly alarmId?: string | undefined;
    }
  | {
      readonly type: 'RestoreWritePath';
      readonly route: string;
      readonly reason: string;
      /** `ordered`: by whoever the command's actor is. */
      readonly grounds: 'attested' | 'ordered';
      /** The closing that the grounds are about; the last one unless told. */
      readonly epoch?: number | undefined;
    };

export type GateRefusal = Refusal<'WritePathAlreadyClosed' | 'WritePathOpen' | 'WritePathMovedOn'>;

export interface GateState {
  /** How often it has moved. */
  readonly epoch: number;
  readonly closed: boolean;
  /** Why it is closed; empty while it is open. */
  readonly reason: string;
}

export const gates: Decider<GateCommand, GateState, GateEvent, GateRefusal> = {
  domain: 'gates',
  stream: ({ route }) => streamName('gates', route),
  initial: { epoch: 0, closed: false, reason: '' },

  evolve: (_, { type, data: { epoch, reason } }) => {
    switch (type) {
      case 'gates.WritePathRolledBack':
        return { epoch, closed: true, reason };
      case 'gates.WritePathRestored':
        return { epoch, closed: false, reason: '' };
      default:
        return type satisfies never;
    }
  },

  decide: (command, { epoch: before, closed }) => {
    const { route, reason } = command;
    const epoch = before + 1;
    if (command.type === 'RollBackWritePath') {
      if (closed)
        return refuse(
          'WritePathAlreadyClosed',
          `the write path of ${route} is closed, as of epoch ${before}`,
        );
      const alarm = command.alarmId === undefined ? {} : { alarm_id: command.alarmId };
      return accept<GateEvent>({
        event: { type: 'gates.WritePathRolledBack', data: { route, epoch, ...alarm, reason } },
      });
    }
    if (!closed) return refuse('WritePathOpen', `the write path of ${route} is open`);
    // A restorer that slept: what it knows to be clean was before a later closing.
    if (command.epoch !== undefined && command.epoch !== before)
      return refuse(
        'WritePathMovedOn',
        `the write path of ${route} is at epoch ${before}, this is about ${command.epoch}; look again`,
      );
    return accept<GateEvent>({
      event: { type: 'gates.WritePathRestored', data: { route, epoch, grounds: command.grounds, reason } },
    });
  },
};
