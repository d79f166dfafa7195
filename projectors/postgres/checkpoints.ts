// The checkpoints of one build, apart from the steps that move them.
import type { AnyProjector } from '#projectors/batch.ts';
import type { Checkpoint } from '#projectors/sink.ts';
import { type Instant, instantText, type Seq, type Sha256, type TenantId } from '#schemas/ids.ts';
import type { Queryable } from '#streams/postgres/connect.ts';
import type { BuildRef } from './builds.ts';

interface CheckpointRow {
  readonly tenant: TenantId;
  readonly seq: Seq;
  readonly hash: Sha256;
  readonly ms: Instant;
  readonly fault_seq: Seq | null;
  readonly fault_id: string;
  readonly fault_message: string;
}

/** The checkpoints of one build, of all tenants or of one. */
export const readCheckpoints = async (
  client: Queryable,
  { name, version }: Pick<AnyProjector, 'name' | 'version'>,
  { build }: Pick<BuildRef, 'build'>,
  tenant: TenantId | undefined,
): Promise<readonly Checkpoint[]> => {
  const { rows } = await client.query<CheckpointRow>(
    `SELECT tenant, seq, encode(hash, 'hex') AS hash, (extract(epoch FROM recorded_at) * 1000)::bigint AS ms, fault_seq, fault_id, fault_message
     FROM projections.checkpoints WHERE projection = $1 AND version = $2 AND build = $3 AND ($4::text IS NULL OR tenant = $4)`,
    [name, version, build, tenant ?? null],
  );
  return rows.map((row) => ({
    tenant: row.tenant,
    seq: row.seq,
    hash: row.hash,
    recordedAt: row.ms,
    fault:
      row.fault_seq === null
        ? undefined
        : { seq: row.fault_seq, id: row.fault_id, message: row.fault_message },
  }));
};

export interface CheckpointsOf {
  readonly projector: Pick<AnyProjector, 'name' | 'version'>;
  readonly build: BuildRef;
}

/** Puts checkpoints where a bulk fill has come to, whatever was there. */
export const putCheckpoints = async (
  client: Queryable,
  { projector: { name, version }, build: { build, epoch } }: CheckpointsOf,
  checkpoints: readonly Checkpoint[],
): Promise<void> => {
  await client.query({
    name: 'checkpoints.put',
    text: `INSERT INTO projections.checkpoints (projection, version, build, epoch, tenant, seq, hash, recorded_at, status, fault_seq, fault_id, fault_message, fault_at)
      SELECT $1, $2, $3, $4, g.tenant, g.seq, g.hash, g.recorded_at, CASE WHEN g.fault_seq IS NULL THEN 'running' ELSE 'halted' END,
             g.fault_seq, g.fault_id, g.fault_message, CASE WHEN g.fault_seq IS NOT NULL THEN now() END
      FROM unnest($5::text[], $6::bigint[], $7::bytea[], $8::timestamptz[], $9::bigint[], $10::text[], $11::text[])
           AS g (tenant, seq, hash, recorded_at, fault_seq, fault_id, fault_message)
      ON CONFLICT (projection, version, build, tenant) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq, hash = excluded.hash,
        recorded_at = excluded.recorded_at, updated_at = now(), status = excluded.status, fault_seq = excluded.fault_seq,
        fault_id = excluded.fault_id, fault_message = excluded.fault_message, fault_at = excluded.fault_at`,
    values: [
      name,
      version,
      build,
      epoch,
      checkpoints.map(({ tenant }) => tenant),
      checkpoints.map(({ seq }) => seq),
      checkpoints.map(({ hash }) => Buffer.from(hash, 'hex')),
      checkpoints.map(({ recordedAt }) => instantText(recordedAt)),
      checkpoints.map(({ fault }) => fault?.seq ?? null),
      checkpoints.map(({ fault }) => fault?.id ?? null),
      checkpoints.map(({ fault }) => fault?.message ?? null),
    ],
  });
};
