-- Read models: "projections" holds their tables, one per version, and how far each has come; "views" holds what
-- people query, under names that stay the same when a new version takes the place of an old one.

CREATE SCHEMA projections;
COMMENT ON SCHEMA projections IS 'Tables of the read models, <name>_v<version>. Query the schema "views" instead: its names stay.';
CREATE SCHEMA views;
COMMENT ON SCHEMA views IS 'Read models for analysts, folded from the ledger. docs/sql-cookbook.md has the questions they answer.';

CREATE TABLE projections.read_models (
  projection text COLLATE "C" NOT NULL,
  version integer NOT NULL CHECK (version > 0),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (projection, version)
);
COMMENT ON TABLE projections.read_models IS 'Every version of every read model that has a table.';

-- fillfactor: a checkpoint moves with every batch; room on its page keeps the update off the index (HOT).
CREATE TABLE projections.checkpoints (
  projection text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  seq bigint NOT NULL CHECK (seq >= 0),
  hash bytea NOT NULL CHECK (octet_length(hash) = 32),
  recorded_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT now(),
  status text COLLATE "C" NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'halted')),
  fault_seq bigint,
  fault_id text COLLATE "C",
  fault_message text COLLATE "C",
  fault_at timestamptz,
  PRIMARY KEY (projection, version, tenant),
  FOREIGN KEY (projection, version) REFERENCES projections.read_models,
  CHECK ((status = 'halted') = (fault_seq IS NOT NULL AND fault_id IS NOT NULL AND fault_message IS NOT NULL AND fault_at IS NOT NULL))
) WITH (fillfactor = 30);
COMMENT ON TABLE projections.checkpoints IS 'How far each read model has come with each tenant; changes in the same transaction as its rows.';
COMMENT ON COLUMN projections.checkpoints.hash IS 'Chain hash of the fact at seq: a log that was swapped does not go on from it.';
COMMENT ON COLUMN projections.checkpoints.recorded_at IS 'When the fact at seq was recorded; the epoch before the first one.';

CREATE VIEW views.projection_status AS
SELECT h.tenant, m.projection, m.version,
       coalesce(c.seq, 0) AS as_of_seq,
       CASE WHEN c.seq > 0 THEN c.recorded_at END AS as_of,
       h.seq AS head_seq,
       h.seq - coalesce(c.seq, 0) AS lag_facts,
       CASE WHEN h.seq <= coalesce(c.seq, 0) THEN 0
            WHEN c.seq > 0 THEN round(extract(epoch FROM h.recorded_at - c.recorded_at), 3) END AS lag_seconds,
       CASE WHEN c.status = 'halted' THEN 'halted'
            WHEN h.seq < coalesce(c.seq, 0) THEN 'ahead of ledger'
            WHEN h.seq = coalesce(c.seq, 0) THEN 'current'
            ELSE 'behind' END AS state,
       c.updated_at, c.fault_seq, c.fault_id, c.fault_message, c.fault_at
FROM ledger.heads h
CROSS JOIN projections.read_models m
LEFT JOIN projections.checkpoints c USING (projection, version, tenant);
COMMENT ON VIEW views.projection_status IS 'How fresh each read model is, per tenant.';
COMMENT ON COLUMN views.projection_status.tenant IS 'The tenant.';
COMMENT ON COLUMN views.projection_status.projection IS 'The read model: a view of this name is in this schema.';
COMMENT ON COLUMN views.projection_status.version IS 'Version of its fold; each has a table of its own.';
COMMENT ON COLUMN views.projection_status.as_of_seq IS 'The read model contains the tenant''s facts up to this place, and none after it.';
COMMENT ON COLUMN views.projection_status.as_of IS 'When the fact at as_of_seq was recorded; NULL before the first one.';
COMMENT ON COLUMN views.projection_status.head_seq IS 'Place of the tenant''s last recorded fact.';
COMMENT ON COLUMN views.projection_status.lag_facts IS 'Facts recorded and not yet in the read model; below 0 when the ledger lost facts that had been read.';
COMMENT ON COLUMN views.projection_status.lag_seconds IS 'Ledger time between as_of and the last recorded fact; 0 when nothing is missing, NULL when nothing was read yet.';
COMMENT ON COLUMN views.projection_status.state IS 'current, behind, halted (stopped at a fact it cannot take; the fault columns say why), or ahead of ledger (the ledger was restored to an older state).';
COMMENT ON COLUMN views.projection_status.updated_at IS 'When the read model last moved.';
COMMENT ON COLUMN views.projection_status.fault_seq IS 'Place of the fact it halted at.';
COMMENT ON COLUMN views.projection_status.fault_id IS 'Id of that fact.';
COMMENT ON COLUMN views.projection_status.fault_message IS 'Why it halted.';
COMMENT ON COLUMN views.projection_status.fault_at IS 'When it halted.';

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'prov_ledger_analyst') THEN
    CREATE ROLE prov_ledger_analyst NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL; -- another migration in the same cluster made it at the same moment
END $$;
COMMENT ON ROLE prov_ledger_analyst IS 'May read the schema "views" and nothing else; grant it to the people and tools that ask questions.';
GRANT USAGE ON SCHEMA projections TO prov_ledger_runtime;
GRANT USAGE ON SCHEMA views TO prov_ledger_runtime, prov_ledger_analyst;
GRANT SELECT ON projections.read_models TO prov_ledger_runtime;
GRANT SELECT, INSERT, UPDATE ON projections.checkpoints TO prov_ledger_runtime;
GRANT SELECT ON views.projection_status TO prov_ledger_runtime, prov_ledger_analyst;
