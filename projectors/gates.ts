// Gates for analysts: one row per route whose write path was ever closed.

import type { GateEvent } from '#schemas/gates.ts';
import type { Instant, Seq } from '#schemas/ids.ts';
import type { Projector } from './projector.ts';

export type GateRow = {
  readonly route: string;
  readonly status: 'open' | 'closed';
  readonly epoch: number;
  readonly reason: string;
  readonly alarm_id: string | null;
  readonly moved_by: string;
  readonly closed_at: Instant;
  readonly restored_at: Instant | null;
  readonly closings: number;
  readonly last_seq: Seq;
};

export const gates: Projector<GateEvent, GateRow> = {
  name: 'gates',
  version: 1,
  handles: ['gates.WritePathRolledBack', 'gates.WritePathRestored'],
  columns: {
    route: 'text',
    status: 'text',
    epoch: 'bigint',
    reason: 'text',
    alarm_id: 'text',
    moved_by: 'text',
    closed_at: 'timestamptz',
    restored_at: 'timestamptz',
    closings: 'bigint',
    last_seq: 'bigint',
  },
  key: ['route'],
  keys: ({ data }) => [[data.route]],
  fold: (row, { type, data, actor, recordedAt, seq }) => {
    const { route, epoch, reason } = data;
    const moved = { route, epoch, reason, moved_by: actor, last_seq: seq };
    switch (type) {
      case 'gates.WritePathRolledBack':
        return {
          ...moved,
          status: 'closed',
          alarm_id: data.alarm_id ?? null,
          closed_at: recordedAt,
          restored_at: null,
          closings: (row?.closings ?? 0) + 1,
        };
      case 'gates.WritePathRestored':
        return row && { ...row, ...moved, status: 'open', restored_at: recordedAt };
      default:
        return type satisfies never;
    }
  },
};
