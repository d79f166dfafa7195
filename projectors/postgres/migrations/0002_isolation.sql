-- Isolation: whoever asks through "views" sees one tenant, or none, unless they are an auditor.
--
-- Each view belongs to prov_ledger_views, a role that row-level security binds and nobody logs in as; its policies ask
-- who the *asking* role is (current_user, which a view does not change). Who is not in projections.analysts sees no row.
-- Read models are read through a partitioned table that the policies guard, and written at its only partition: COPY does
-- not go into a table under row-level security, and the writer pays nothing for the readers' rules.

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'prov_ledger_views') THEN
    CREATE ROLE prov_ledger_views NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL; -- another migration in the same cluster made it at the same moment
END $$;
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'prov_ledger_auditor') THEN
    CREATE ROLE prov_ledger_auditor NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL;
END $$;
COMMENT ON ROLE prov_ledger_analyst IS 'May ask the views of the schema "views" and nothing else; sees the rows of the tenant that projections.analysts names.';
COMMENT ON ROLE prov_ledger_auditor IS 'May ask the same views and sees all tenants.';
COMMENT ON ROLE prov_ledger_views IS 'Owns the views, so that row-level security binds them; nobody logs in as it.';
GRANT prov_ledger_views TO CURRENT_USER;
GRANT prov_ledger_analyst TO prov_ledger_auditor;
GRANT prov_ledger_auditor TO prov_ledger_runtime;

CREATE TABLE projections.analysts (
  role_name text COLLATE "C" PRIMARY KEY,
  tenant text COLLATE "C" NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE projections.analysts IS 'The one tenant whose rows a role sees. Kept by prov-ledger analyst.';
GRANT SELECT ON projections.analysts TO prov_ledger_views, prov_ledger_runtime;
ALTER TABLE projections.analysts ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_line ON projections.analysts FOR SELECT TO prov_ledger_views USING (role_name = current_user);
CREATE POLICY all_lines ON projections.analysts FOR SELECT TO prov_ledger_runtime USING (true);

-- The condition is that of projectors/postgres/isolation.ts; its subqueries are asked once a query, not once a row.
ALTER TABLE projections.checkpoints ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_tenants ON projections.checkpoints TO prov_ledger_runtime USING (true);
CREATE POLICY own_tenant ON projections.checkpoints FOR SELECT TO prov_ledger_views
  USING ((SELECT pg_has_role(current_user, 'prov_ledger_auditor', 'MEMBER'))
         OR tenant = (SELECT a.tenant FROM projections.analysts a WHERE a.role_name = current_user));
ALTER TABLE ledger.heads ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_tenants ON ledger.heads TO prov_ledger_runtime USING (true);
CREATE POLICY own_tenant ON ledger.heads FOR SELECT TO prov_ledger_views
  USING ((SELECT pg_has_role(current_user, 'prov_ledger_auditor', 'MEMBER'))
         OR tenant = (SELECT a.tenant FROM projections.analysts a WHERE a.role_name = current_user));

GRANT USAGE ON SCHEMA ledger, projections TO prov_ledger_views;
GRANT USAGE, CREATE ON SCHEMA views TO prov_ledger_views;
GRANT SELECT ON projections.read_models, projections.checkpoints TO prov_ledger_views;
GRANT SELECT (tenant, seq, recorded_at) ON ledger.heads TO prov_ledger_views;
ALTER VIEW views.projection_status OWNER TO prov_ledger_views;

-- The views of read models read their tables directly as yet: they are made anew, guarded, when this migration is done.
DO $$
DECLARE
  name text;
BEGIN
  FOR name IN SELECT viewname FROM pg_views WHERE schemaname = 'views' AND viewname <> 'projection_status' LOOP
    EXECUTE format('DROP VIEW views.%I', name);
  END LOOP;
END $$;
