// How far behind the sagas are, for whoever watches.
import { streamError } from '#streams/postgres/connect.ts';
import { headsElsewhere, type LedgerDatabases } from '#streams/postgres/databases.ts';
import { READABLE } from '#streams/postgres/reader.ts';
import type { AnySaga } from '../saga.ts';

export interface SagaLag {
  readonly saga: string;
  /** Facts recorded and not yet taken; all tenants. */
  readonly lagFacts: number;
  readonly haltedTenants: number;
}

/** Of sagas that have run here, each in its version of today. Throws `StreamError`. */
export const sagaLag = async (
  databases: LedgerDatabases,
  sagas: readonly AnySaga[],
): Promise<readonly SagaLag[]> => {
  const others = await headsElsewhere(databases);
  try {
    const { rows } = await databases.home.pool.query<SagaLag>(
      `SELECT i.saga, sum(greatest(h.seq - coalesce(p.seq, 0), 0))::bigint AS "lagFacts",
              count(p.parked_seq)::integer AS "haltedTenants"
       FROM unnest($1::text[], $2::integer[]) AS i (saga, version)
       JOIN sagas.installations USING (saga, version)
       CROSS JOIN (SELECT h.tenant, h.seq FROM ledger.heads h WHERE ${READABLE}
         UNION ALL SELECT * FROM unnest($3::text[], $4::bigint[])) h
       LEFT JOIN sagas.positions p USING (saga, version, tenant)
       GROUP BY i.saga ORDER BY i.saga`,
      [
        sagas.map(({ name }) => name),
        sagas.map(({ version }) => version),
        others.map(({ tenant }) => tenant),
        others.map(({ seq }) => seq),
      ],
    );
    return rows;
  } catch (error) {
    throw streamError(error);
  }
};
