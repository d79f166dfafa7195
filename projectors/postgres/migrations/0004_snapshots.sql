-- Snapshots: read models as of one position of the ledger, each in a schema of its own, "as_of_<name>". They are made and
-- dropped by prov-ledger views; nobody folds into them afterwards.

CREATE TABLE projections.snapshots (
  name text COLLATE "C" PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,30}$'),
  created_at timestamptz NOT NULL DEFAULT now(),
  asked text COLLATE "C" NOT NULL,
  models text[] COLLATE "C" NOT NULL,
  proved_at timestamptz
);
COMMENT ON TABLE projections.snapshots IS 'Read models as of one position: the schema as_of_<name> holds them.';
COMMENT ON COLUMN projections.snapshots.asked IS 'What was asked for: a place, a time, or the heads of that moment.';
COMMENT ON COLUMN projections.snapshots.proved_at IS 'When all of it was found equal to an independent replay; NULL while it is being made, or when that was cut short.';

CREATE TABLE projections.snapshot_positions (
  name text COLLATE "C" NOT NULL REFERENCES projections.snapshots ON DELETE CASCADE,
  tenant text COLLATE "C" NOT NULL,
  seq bigint NOT NULL CHECK (seq > 0),
  hash bytea NOT NULL CHECK (octet_length(hash) = 32),
  recorded_at timestamptz NOT NULL,
  PRIMARY KEY (name, tenant)
);
COMMENT ON TABLE projections.snapshot_positions IS 'The position of a snapshot: the last fact of each tenant that is in it, the same in all its read models.';

ALTER TABLE projections.snapshot_positions ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_tenants ON projections.snapshot_positions TO prov_ledger_runtime USING (true);
CREATE POLICY own_tenant ON projections.snapshot_positions FOR SELECT TO prov_ledger_views
  USING ((SELECT pg_has_role(current_user, 'prov_ledger_auditor', 'MEMBER'))
         OR tenant = (SELECT a.tenant FROM projections.analysts a WHERE a.role_name = current_user));
GRANT SELECT, INSERT, UPDATE, DELETE ON projections.snapshots, projections.snapshot_positions TO prov_ledger_runtime;
GRANT SELECT ON projections.snapshots, projections.snapshot_positions TO prov_ledger_views;

CREATE VIEW views.snapshots AS
SELECT p.tenant, s.name, 'as_of_' || s.name AS schema, p.seq AS as_of_seq, p.recorded_at AS as_of,
       encode(p.hash, 'hex') AS as_of_hash, h.seq - p.seq AS facts_since, s.created_at
FROM projections.snapshots s
JOIN projections.snapshot_positions p USING (name)
LEFT JOIN ledger.heads h ON h.tenant = p.tenant
WHERE s.proved_at IS NOT NULL;
COMMENT ON VIEW views.snapshots IS 'Read models as of one position of the ledger, and which position that is.';
COMMENT ON COLUMN views.snapshots.tenant IS 'The tenant.';
COMMENT ON COLUMN views.snapshots.name IS 'Name of the snapshot.';
COMMENT ON COLUMN views.snapshots.schema IS 'The schema that holds its views, one for each read model, all as of the same position.';
COMMENT ON COLUMN views.snapshots.as_of_seq IS 'The snapshot contains the tenant''s facts up to this place, and none after it.';
COMMENT ON COLUMN views.snapshots.as_of IS 'When that fact was recorded.';
COMMENT ON COLUMN views.snapshots.as_of_hash IS 'Chain hash of that fact: it stands for all facts up to it.';
COMMENT ON COLUMN views.snapshots.facts_since IS 'Facts of the tenant recorded since, which the snapshot will never contain.';
COMMENT ON COLUMN views.snapshots.created_at IS 'When the snapshot was begun.';
GRANT SELECT ON views.snapshots TO prov_ledger_runtime, prov_ledger_analyst;
ALTER VIEW views.snapshots OWNER TO prov_ledger_views;
