// Who sees which rows of a read model. Analysts ask views; a view belongs to a role that row-level security binds, and
// reads a read model through the gate of its version: a partitioned table under a policy, with a partition per build.
// The projecting role writes to those, where no policy is in the way: COPY does not go into a table that has one.
import type { AnyProjector } from '#projectors/batch.ts';
import type { Client } from '#streams/postgres/connect.ts';
import { tableOf } from './statements.ts';

/** May ask the views; sees the rows of the tenant that it is bound to, and none while it is bound to none. */
export const ANALYST_ROLE = 'prov_ledger_analyst';

/** May ask the views and sees all tenants. The projecting role is a member. */
export const AUDITOR_ROLE = 'prov_ledger_auditor';

/** Owns the views; nobody logs in as it. */
export const VIEWS_ROLE = 'prov_ledger_views';

/**
 * True of the rows that whoever asks may see. `current_user` is the asking role also inside a view. Both subqueries are
 * asked once a query. A condition of the asker's own that could tell what it was shown (a function that is not
 * leak-proof) comes after this one.
 */
const MAY_SEE = `(SELECT pg_has_role(current_user, '${AUDITOR_ROLE}', 'MEMBER'))
  OR tenant = (SELECT a.tenant FROM projections.analysts a WHERE a.role_name = current_user)`;

/** What a view reads, e.g. `projections.receipts_v1_gate`. Dropping it drops the tables behind it too. */
export const gateOf = (projector: Pick<AnyProjector, 'name' | 'version'>): string =>
  `${tableOf(projector)}_gate`;

/** The policy and the right by which views read a table. */
export const guard = async (client: Client, table: string): Promise<void> => {
  await client.query(`ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY`);
  await client.query(`CREATE POLICY own_tenant ON ${table} FOR SELECT TO ${VIEWS_ROLE} USING (${MAY_SEE})`);
  await client.query(`GRANT SELECT ON ${table} TO ${VIEWS_ROLE}`);
};

/** The gate of a version, modelled on one of its tables; no build stands behind it yet. */
export const createGate = async (client: Client, projector: AnyProjector, table: string): Promise<void> => {
  const gate = gateOf(projector);
  await client.query(`CREATE TABLE ${gate} (LIKE ${table}) PARTITION BY LIST (build)`);
  await client.query(
    `COMMENT ON TABLE ${gate} IS 'The rows of every build, to each the ones that it may see. Views read it; nobody writes to it.'`,
  );
  await guard(client, gate);
};

/** Puts a build's table behind the gate. Readers go on meanwhile; the table has a CHECK that spares the scan. */
export const attachToGate = async (client: Client, projector: AnyProjector, build: number): Promise<void> => {
  await client.query(
    `ALTER TABLE ${gateOf(projector)} ATTACH PARTITION ${tableOf(projector, build)} FOR VALUES IN (${build})`,
  );
};
