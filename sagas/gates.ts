// Reopenings: each return of a write path, as it is told to whoever was told of the alarm that closed it. An alarm stands
// until the first of them after it on its route, whether the stores were proved to agree or a person has answered for it.
// Nothing follows from it in the ledger; states are kept for whoever tells them (sagas/postgres/alarms).
import type { WritePathRestored } from '#schemas/gates.ts';
import type { Saga } from './saga.ts';

export interface Reopening {
  readonly route: string;
  /** `attested`: the drift is gone, after a backfill and clean attestations; `ordered`: on the word of `by`. */
  readonly grounds: WritePathRestored['data']['grounds'];
  /** The person, or `saga:drift`. */
  readonly by: string;
  readonly reason: string;
  /** When the ledger recorded it, milliseconds since 1970, and at which place. */
  readonly reopenedAt: number;
  readonly seq: number;
}

export const reopenings: Saga<WritePathRestored, Reopening> = {
  name: 'reopenings',
  version: 1,
  summary: 'returns of write paths, kept to be told to whoever was told of the alarm; asks for nothing',
  handles: ['gates.WritePathRestored'],
  // An epoch is moved to once, so each return is an instance of its own.
  key: ({ data }) => `${data.route} ${data.epoch}`,
  initial: { route: '', grounds: 'attested', by: '', reason: '', reopenedAt: 0, seq: 0 },
  fold: (_, { data, actor, recordedAt, seq }) => ({
    route: data.route,
    grounds: data.grounds,
    by: actor,
    reason: data.reason,
    reopenedAt: recordedAt,
    seq,
  }),
  react: () => [],
};
