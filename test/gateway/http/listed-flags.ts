// The flags of a tenant listed without a read model: folded from the store.
import { foldBatch } from '#projectors/batch.ts';
import { type FlagRow, flags } from '#projectors/flags.ts';
import type { ListFlags } from '#projectors/postgres/flag-list.ts';
import { decodeFact } from '#schemas/index.ts';
import type { StreamStore } from '#streams/stream.ts';

export const flagsFrom =
  (store: Pick<StreamStore, 'read'>): ListFlags =>
  async (tenant) => {
    const facts = [];
    for await (const page of store.read(tenant)) facts.push(...page);
    const own = facts.filter(({ type }) => type.startsWith('flags.')).map(decodeFact);
    const { upserts } = foldBatch(flags, own as never, new Map()).changes;
    return ([...upserts.values()] as FlagRow[])
      .map((row) => ({
        feature: row.feature,
        status: row.status,
        pct: row.pct,
        description: row.description,
        reason: row.reason,
        freezeCause: row.freeze_cause,
        rampId: row.ramp_id,
        dryRun: row.dry_run,
        movedBy: row.moved_by,
        movedAt: row.moved_at,
        movedSeq: row.moved_seq,
      }))
      .sort((one, other) => (one.feature < other.feature ? -1 : 1));
  };
