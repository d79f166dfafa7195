import { createHash } from 'node:crypto';
import { rowHashesSql } from '#projectors/postgres/digest.ts';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { rowSinkContract } from '../../contracts/row-sink.contract.ts';
import { acquaintance } from '../acquaintance.ts';
import { type ProjectionDatabase, projectionDatabase } from '../chains.ts';
import { TABLES } from '../tally.ts';

describe('the contract of sinks: PostgreSQL', () => {
  let db: ProjectionDatabase;
  before(async () => {
    db = await projectionDatabase([acquaintance], TABLES);
  });
  after(() => db[Symbol.asyncDispose]());

  rowSinkContract(() => ({
    sink: postgresRowSink({ pool: db.pool }),
    digest: async () => {
      const { rows } = await db.pool.query<{ encode: string }>(rowHashesSql(acquaintance));
      return createHash('sha256')
        .update(rows.map(({ encode }) => `${encode}\n`).join(''))
        .digest('hex');
    },
    clear: async () => {
      await db.owner.query('TRUNCATE projections.acquaintance_v1, projections.checkpoints');
    },
  }));
});
