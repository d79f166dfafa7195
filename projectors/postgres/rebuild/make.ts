// The rows of a build: filled from the whole history by COPY, and indexed then; or, where COPY cannot, folded by the live
// runner's own way.
import { StreamError } from '#streams/errors.ts';
import { withClient } from '#streams/postgres/connect.ts';
import { readHeads, type StoredHead } from '#streams/postgres/reader.ts';
import { asOwner } from '../owner.ts';
import { readModelDdl } from '../read-models.ts';
import { fillBuild, Unfit, unfitIf } from './fill.ts';
import { followUp } from './level.ts';
import { ownCheckpoints, type Work } from './work.ts';

/** Up to where the build is filled; what is recorded later it follows up. */
export const headsToFill = ({ pool, tenant }: Work): Promise<readonly StoredHead[]> =>
  withClient(pool, (client) => readHeads(client, tenant === undefined ? undefined : [tenant]));

export const fillAndIndex = async (work: Work, heads: readonly StoredHead[]): Promise<void> => {
  const { pool, projector, claim, at } = work;
  const indexed = await hasIndexes(work);
  if (!indexed) {
    const done = new Map((await ownCheckpoints(work)).map((each) => [each.tenant, each]));
    const total = heads.reduce((sum, { tenant, seq }) => sum + seq - (done.get(tenant)?.seq ?? 0), 0);
    let facts = 0;
    work.progress('filling', 0, total);
    const onFacts = (count: number): void => {
      facts += count;
      work.progress('filling', facts, total);
    };
    try {
      await fillBuild({ ...work, build: claim, heads, done, onFacts });
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
