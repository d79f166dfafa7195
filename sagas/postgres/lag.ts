// How far behind the sagas are, for whoever watches.
import { type Pool, streamError } from '#streams/postgres/connect.ts';
import type { AnySaga } from '../saga.ts';

export interface SagaLag {
  readonly saga: string;
  /** Facts recorded and not yet taken; all tenants. */
  readonly lagFacts: number;
  readonly haltedTenants: number;
}

/** Of sagas that have run here, each in its version of today. Throws `StreamError`. */
export const sagaLag = async (pool: Pool, sagas: readonly AnySaga[]): Promise<readonly SagaLag[]> => {
  try {
    const { rows } = await pool.query<SagaLag>(
      `SELECT i.saga, sum(greatest(h.seq - coalesce(p.seq, 0), 0))::bigint AS "lagFacts",
              count(p.parked_seq)::integer AS "haltedTenants"
       FROM unnest($1::text[], $2::integer[]) AS i (saga, version)
       JOIN sagas.installations USING (saga, version)
       CROSS JOIN ledger.heads h
       LEFT JOIN sagas.positions p USING (saga, version, tenant)
       GROUP BY i.saga ORDER BY i.saga`,
      [sagas.map(({ name }) => name), sagas.map(({ version }) => version)],
    );
    return rows;
  } catch (error) {
    throw streamError(error);
  }
};
