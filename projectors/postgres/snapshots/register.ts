// Which snapshots there are, and dropping one.
import { RebuildError } from '#projectors/rebuild/errors.ts';
import type { Instant } from '#schemas/ids.ts';
import { type Pool, sqlState, streamError } from '#streams/postgres/connect.ts';
import { asOwner } from '../owner.ts';

/** What may name a snapshot; its schema is `as_of_<name>`. */
export const SNAPSHOT_NAME = /^[a-z][a-z0-9_]{0,30}$/;

export const schemaOf = (name: string): string => {
  if (!SNAPSHOT_NAME.test(name))
    throw new RangeError(
      `${name} names no snapshot: use a letter, then up to 30 letters, digits and underscores, all lower case`,
    );
  return `as_of_${name}`;
};

export interface SnapshotLine {
  readonly name: string;
  readonly schema: string;
  readonly asked: string;
  readonly models: readonly string[];
  readonly tenants: number;
  readonly facts: number;
  readonly createdAt: Instant;
  /** False while it is made, or when that was cut short. */
  readonly complete: boolean;
}

/** Oldest first. Throws `StreamError`. */
export const listSnapshots = async (pool: Pool): Promise<readonly SnapshotLine[]> => {
  try {
    const { rows } = await pool.query<SnapshotLine>(
      `SELECT s.name, 'as_of_' || s.name AS schema, s.asked, s.models, count(p.tenant)::float8 AS tenants, coalesce(sum(p.seq), 0)::float8 AS facts,
              (extract(epoch FROM s.created_at) * 1000)::bigint AS "createdAt", s.proved_at IS NOT NULL AS complete
       FROM projections.snapshots s LEFT JOIN projections.snapshot_positions p USING (name) GROUP BY s.name ORDER BY s.created_at, s.name`,
    );
    return rows;
  } catch (error) {
    throw streamError(error);
  }
};

const LOCK_MS = 5_000;

/** Throws `RebuildError`: `nothing-there`, `in-use`; `StreamError`. */
export const dropSnapshot = async (pool: Pool, name: string): Promise<void> => {
  try {
    await asOwner(pool, async (client) => {
      await client.query(`SET LOCAL lock_timeout = ${LOCK_MS}`);
      const { rowCount } = await client.query('DELETE FROM projections.snapshots WHERE name = $1', [name]);
      if (rowCount === 0)
        throw new RebuildError(
          'nothing-there',
          `there is no snapshot ${name}; \`prov-ledger views list\` names them`,
        );
      await client.query(`DROP SCHEMA IF EXISTS ${schemaOf(name)} CASCADE`);
    });
  } catch (error) {
    // 55P03: lock not available.
    if (sqlState((error as Error).cause) !== '55P03') throw error;
    throw new RebuildError(
      'in-use',
      `${schemaOf(name)} is being read: try again when the queries have ended`,
      {
        cause: error,
      },
    );
  }
};
