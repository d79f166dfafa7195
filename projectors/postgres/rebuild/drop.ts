// Builds that nobody needs any more: what a rebuild replaced, once no rollback is wanted, and what one left unfinished.
import type { AnyProjector } from '#projectors/batch.ts';
import { RebuildError } from '#projectors/rebuild/errors.ts';
import { type Client, type Pool, sqlState } from '#streams/postgres/connect.ts';
import { asOwner } from '../owner.ts';
import { tableOf } from '../statements.ts';

export interface DroppedBuild {
  readonly version: number;
  readonly build: number;
}

/** Drops a build's table, checkpoints and line in the caller's transaction, which the owner began. */
export const dropBuild = async (
  client: Client,
  { name }: Pick<AnyProjector, 'name'>,
  { version, build }: DroppedBuild,
): Promise<void> => {
  await client.query(`DROP TABLE IF EXISTS ${tableOf({ name, version }, build)}`);
  for (const table of ['checkpoints', 'builds'])
    await client.query(
      `DELETE FROM projections.${table} WHERE projection = $1 AND version = $2 AND build = $3`,
      [name, version, build],
    );
};

const LOCK_MS = 200;
const ATTEMPTS = 50;

/**
 * Drops the builds that a rebuild replaced, and what an unfinished one left when nobody works on it. A reader's long
 * query holds a table: it is waited for a fifth of a second at a time, so that readers after it never wait longer.
 * Throws `RebuildError`: `in-use`.
 */
export const dropOld = async (pool: Pool, name: string): Promise<readonly DroppedBuild[]> => {
  const { rows } = await pool.query<DroppedBuild>(
    `SELECT version, build FROM projections.builds WHERE projection = $1
     AND (state = 'kept' OR (state IN ('building', 'proved') AND coalesce(lease_until < now(), true))) ORDER BY version, build`,
    [name],
  );
  for (const each of rows) await dropWhenFree(pool, name, each);
  return rows;
};

const dropWhenFree = async (pool: Pool, name: string, build: DroppedBuild): Promise<void> => {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await asOwner(pool, async (client) => {
        await client.query(`SET LOCAL lock_timeout = ${LOCK_MS}`);
        await dropBuild(client, { name }, build);
      });
      return;
    } catch (error) {
      // 55P03: lock not available.
      if (sqlState((error as Error).cause) !== '55P03') throw error;
      if (attempt === ATTEMPTS)
        throw new RebuildError(
          'in-use',
          `${tableOf({ name, version: build.version }, build.build)} is being read without a pause; try again when the long queries have ended`,
        );
      await new Promise((resolve) => setTimeout(resolve, LOCK_MS));
    }
  }
};
