// Placements for those who run the ledger: one row per tenant that was ever moved.
import type { Instant, Seq } from '#schemas/ids.ts';
import type { PlacementEvent } from '#schemas/placements.ts';
import type { Projector } from './projector.ts';

export type PlacementRow = {
  readonly placed_tenant: string;
  readonly shard: string;
  readonly moving_to: string | null;
  readonly epoch: number;
  readonly moved_by: string;
  readonly begun_at: Instant;
  readonly placed_at: Instant | null;
  readonly last_seq: Seq;
};

export const placements: Projector<PlacementEvent, PlacementRow> = {
  name: 'placements',
  version: 1,
  handles: ['placements.MoveStarted', 'placements.TenantPlaced'],
  columns: {
    placed_tenant: 'text',
    shard: 'text',
    moving_to: 'text',
    epoch: 'bigint',
    moved_by: 'text',
    begun_at: 'timestamptz',
    placed_at: 'timestamptz',
    last_seq: 'bigint',
  },
  key: ['placed_tenant'],
  keys: ({ data }) => [[data.placed_tenant]],
  fold: (row, { type, data, actor, recordedAt, seq }) => {
    switch (type) {
      case 'placements.MoveStarted':
        return {
          placed_tenant: data.placed_tenant,
          shard: data.from,
          moving_to: data.to,
          epoch: data.epoch,
          moved_by: actor,
          begun_at: recordedAt,
          placed_at: row?.placed_at ?? null,
          last_seq: seq,
        };
      case 'placements.TenantPlaced':
        return row && { ...row, shard: data.shard, moving_to: null, placed_at: recordedAt, last_seq: seq };
      default:
        return type satisfies never;
    }
  },
};
