// The rows of a build: filled from the whole history by COPY, and indexed then; or, where COPY cannot, folded by the live
// runner's own way.

import type { TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import { type Pool, withClient } from '#streams/postgres/connect.ts';
import { onEach, oneDatabase } from '#streams/postgres/databases.ts';
import { isReadable, readHeads, type StoredHead } from '#streams/postgres/reader.ts';
import { asOwner } from '../owner.ts';
import { readModelDdl } from '../read-models.ts';
import { fillBuild, Unfit, unfitIf } from './fill.ts';
import { followUp } from './level.ts';
import { ownCheckpoints, type Work } from './work.ts';

/** A database with facts, and up to where the build is filled from it; what is recorded later it follows up. */
export interface FillSource {
  readonly pool: Pool;
  readonly heads: readonly StoredHead[];
}

/** The home of the ledger first. */
export const sourcesToFill = async ({
  pool: home,
  databases = oneDatabase(home),
  tenant,
}: Work): Promise<readonly FillSource[]> => {
  const sources = await onEach(databases.all, async ({ pool }) => {
    const wanted = tenant === undefined ? undefined : [tenant];
    const heads = await withClient(pool, (client) => readHeads(client, wanted));
    return { pool, heads: heads.filter(isReadable) };
  });
  // One that moved between two of the questions was met twice, and has all its facts in either.
  const met = new Set<TenantId>();
  return sources.map(({ pool, heads }) => ({
    pool,
    heads: heads.filter((head) => !met.has(head.tenant) && met.add(head.tenant)),
  }));
};

export const fillAndIndex = async (work: Work, sources: readonly FillSource[]): Promise<void> => {
  const { pool, projector, claim, at } = work;
  const indexed = await hasIndexes(work);
  if (!indexed) {
    const done = new Map((await ownCheckpoints(work)).map((each) => [each.tenant, each]));
    const total = sources
      .flatMap(({ heads }) => heads)
      .reduce((sum, { tenant, seq }) => sum + seq - (done.get(tenant)?.seq ?? 0), 0);
    let facts = 0;
    work.progress('filling', 0, total);
    const onFacts = (count: number): void => {
      facts += count;
      work.progress('filling', facts, total);
    };
    try {
      for (const { pool: source, heads } of sources)
        await fillBuild({ ...work, build: claim, source, heads, done, onFacts });
      await at('filled');
      work.progress('indexing', 0, 1);
      await makeIndexes(work);
      await at('indexed');
      return;
    } catch (error) {
      if (!(error instanceof Unfit)) throw error;
      await asOwner(pool, async (client) => {
        await client.query(`TRUNCATE ${work.table}`);
        await client.query(
          'DELETE FROM projections.checkpoints WHERE projection = $1 AND version = $2 AND build = $3',
          [projector.name, projector.version, claim.build],
        );
      });
      await makeIndexes(work);
    }
  }
  // What a fill left behind, or could not do: by the live runner's own way.
  await followUp(work, 'filling');
  await at('filled');
  await at('indexed');
};

const hasIndexes = async ({ pool, table }: Work): Promise<boolean> =>
  (await pool.query('SELECT FROM pg_index WHERE indrelid = to_regclass($1) AND indisprimary', [table]))
    .rowCount === 1;

/** Throws `Unfit` when the rows are such that an index refuses them. */
const makeIndexes = async ({ pool, projector, folder, claim, table }: Work): Promise<void> => {
  const ddl = await readModelDdl(projector, folder, claim.build);
  try {
    await asOwner(pool, async (client) => {
      await client.query(ddl.indexes);
      await client.query(`ANALYZE ${table}`);
    });
  } catch (error) {
    throw error instanceof StreamError ? unfitIf(error.cause) : error;
  }
};
