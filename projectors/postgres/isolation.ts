// Who sees which rows of a read model. Analysts ask views; a view belongs to a role that row-level security binds, and
// reads a read model through its gate: a partitioned table under a policy, whose only partition is the table itself.
// The projecting role writes to that table, where no policy is in the way: COPY does not go into a table that has one.
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

/** What a view reads, e.g. `projections.receipts_v1_gate`. Dropping it drops the table behind it too. */
export const gateOf = (projector: AnyProjector): string => `${tableOf(projector)}_gate`;

/** Puts the gate in front of a table that has none. */
export const createGate = async (client: Client, projector: AnyProjector): Promise<void> => {
  const table = tableOf(projector);
  const gate = gateOf(projector);
  await client.query(`CREATE TABLE ${gate} (LIKE ${table}) PARTITION BY LIST (tenant)`);
  await client.query(`ALTER TABLE ${gate} ATTACH PARTITION ${table} DEFAULT`);
  await client.query(
    `COMMENT ON TABLE ${gate} IS 'The rows of ${table}, to each the ones that it may see. Views read it; nobody writes to it.'`,
  );
  await client.query(`ALTER TABLE ${gate} ENABLE ROW LEVEL SECURITY`);
  await client.query(`CREATE POLICY own_tenant ON ${gate} FOR SELECT TO ${VIEWS_ROLE} USING (${MAY_SEE})`);
  await client.query(`GRANT SELECT ON ${gate} TO ${VIEWS_ROLE}`);
};
