// Flags: one row per feature, with who gets it, whether it is held there, and the ramp that moves it. It is what services
// are told, and what analysts see.

import type { FlagEvent } from '#schemas/flags.ts';
import type { Instant, Seq } from '#schemas/ids.ts';
import type { Projector } from './projector.ts';

export type FlagRow = {
  readonly feature: string;
  readonly status: 'set' | 'frozen' | 'retired';
  readonly pct: number;
  readonly description: string | null;
  readonly reason: string;
  readonly freeze_cause: string | null;
  readonly ramp_id: string | null;
  readonly dry_run: boolean | null;
  readonly moved_by: string;
  readonly moved_at: Instant;
  readonly moved_seq: Seq;
  readonly observations: number;
  readonly last_seq: Seq;
};

export const flags: Projector<FlagEvent, FlagRow> = {
  name: 'flags',
  version: 1,
  handles: [
    'flags.FlagSet',
    'flags.FlagRamped',
    'flags.FlagFrozen',
    'flags.FreezeAcknowledged',
    'flags.FlagRetired',
    'flags.RampStarted',
    'flags.RampObserved',
    'flags.RampAdvised',
    'flags.RampEnded',
  ],
  columns: {
    feature: 'text',
    status: 'text',
    pct: 'bigint',
    description: 'text',
    reason: 'text',
    freeze_cause: 'text',
    ramp_id: 'text',
    dry_run: 'boolean',
    moved_by: 'text',
    moved_at: 'timestamptz',
    moved_seq: 'bigint',
    observations: 'bigint',
    last_seq: 'bigint',
  },
  key: ['feature'],
  keys: ({ data }) => [[data.feature]],
  fold: (row, { type, data, actor, recordedAt, seq }) => {
    const moved = { moved_by: actor, moved_at: recordedAt, moved_seq: seq, last_seq: seq };
    if (type === 'flags.FlagSet')
      return {
        ...(row ?? UNMOVED),
        ...moved,
        feature: data.feature,
        pct: data.pct,
        description: data.description ?? row?.description ?? null,
        reason: data.reason,
      };
    if (!row) return undefined;
    switch (type) {
      case 'flags.FlagRamped':
        return { ...row, ...moved, pct: data.to_pct, reason: data.reason };
      case 'flags.FlagFrozen':
        return { ...row, ...moved, status: 'frozen', freeze_cause: data.cause, reason: data.reason };
      case 'flags.FreezeAcknowledged':
        return { ...row, ...moved, status: 'set', freeze_cause: null, reason: data.reason };
      case 'flags.FlagRetired':
        return { ...row, ...moved, status: 'retired', freeze_cause: null, reason: data.reason };
      case 'flags.RampStarted':
        return { ...row, ramp_id: data.ramp_id, dry_run: data.dry_run, observations: 0, last_seq: seq };
      case 'flags.RampObserved':
        return { ...row, observations: row.observations + 1, last_seq: seq };
      case 'flags.RampAdvised':
        return { ...row, last_seq: seq };
      case 'flags.RampEnded':
        return { ...row, ramp_id: null, dry_run: null, last_seq: seq };
      default:
        return type satisfies never;
    }
  },
};

const UNMOVED = {
  status: 'set',
  freeze_cause: null,
  ramp_id: null,
  dry_run: null,
  observations: 0,
} as const;
