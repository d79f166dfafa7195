-- Builds: one version of a read model may have several tables, of which one is live. A rebuild fills another one beside
-- it; the switch is a change of rows here, so that every reader sees, as of its snapshot, one build or the other.

ALTER TABLE projections.read_models
  ADD COLUMN live_build integer NOT NULL DEFAULT 1 CHECK (live_build > 0),
  ADD COLUMN shown boolean NOT NULL DEFAULT false,
  ADD COLUMN paused_at timestamptz,
  ADD COLUMN pause_reason text COLLATE "C",
  ADD CHECK ((paused_at IS NULL) = (pause_reason IS NULL));
COMMENT ON COLUMN projections.read_models.live_build IS 'The build that programs with this version keep.';
COMMENT ON COLUMN projections.read_models.shown IS 'Whether the view shows this version; one version of each read model is shown.';
COMMENT ON COLUMN projections.read_models.paused_at IS 'Since when the read model is kept by nobody, on somebody''s word.';
CREATE UNIQUE INDEX read_models_shown ON projections.read_models (projection) WHERE shown;

CREATE TABLE projections.builds (
  projection text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  build integer NOT NULL CHECK (build > 0),
  state text COLLATE "C" NOT NULL CHECK (state IN ('building', 'proved', 'live', 'kept')),
  epoch bigint NOT NULL DEFAULT 1,
  source_digest text COLLATE "C",
  created_at timestamptz NOT NULL DEFAULT now(),
  proved_at timestamptz,
  live_at timestamptz,
  replaced_version integer,
  replaced_build integer,
  only_tenant text COLLATE "C",
  lease_owner text COLLATE "C",
  lease_until timestamptz,
  progress jsonb,
  PRIMARY KEY (projection, version, build),
  FOREIGN KEY (projection, version) REFERENCES projections.read_models
);
COMMENT ON TABLE projections.builds IS 'Every table of every version of every read model: <name>_v<version> for build 1, <name>_v<version>_b<build> after that.';
COMMENT ON COLUMN projections.builds.state IS 'building, proved (equal to an independent replay, not yet switched to), live, or kept (was live; for a rollback).';
COMMENT ON COLUMN projections.builds.epoch IS 'Counts up whenever somebody else becomes the one who may write: a step of the one before then changes nothing.';
COMMENT ON COLUMN projections.builds.source_digest IS 'SHA-256 of the projector''s source and SQL; NULL when it was made before that was kept.';
COMMENT ON COLUMN projections.builds.replaced_build IS 'What was shown before this one: what a rollback goes back to.';
COMMENT ON COLUMN projections.builds.only_tenant IS 'The build holds the rows of this tenant only, which change places with the live ones.';
COMMENT ON COLUMN projections.builds.lease_until IS 'Until when the rebuild of lease_owner may write without saying again that it is alive.';
CREATE UNIQUE INDEX builds_under_way ON projections.builds (projection) WHERE state IN ('building', 'proved');

-- The first version becomes the one that is shown. Where there were two, the view stood on the older one.
UPDATE projections.read_models m SET shown = true
WHERE version = (SELECT min(version) FROM projections.read_models o WHERE o.projection = m.projection);
INSERT INTO projections.builds (projection, version, build, state, live_at)
SELECT projection, version, 1, 'live', created_at FROM projections.read_models;

ALTER TABLE projections.checkpoints
  ADD COLUMN build integer NOT NULL DEFAULT 1,
  ADD COLUMN epoch bigint NOT NULL DEFAULT 1,
  DROP CONSTRAINT checkpoints_pkey,
  DROP CONSTRAINT checkpoints_projection_version_fkey;
ALTER TABLE projections.checkpoints
  ADD PRIMARY KEY (projection, version, build, tenant),
  ADD FOREIGN KEY (projection, version, build) REFERENCES projections.builds;
COMMENT ON COLUMN projections.checkpoints.epoch IS 'That of the build: a step names the one it knows, and changes nothing when it is another.';

DROP VIEW views.projection_status;
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
            WHEN m.paused_at IS NOT NULL THEN 'paused'
            WHEN h.seq = coalesce(c.seq, 0) THEN 'current'
            ELSE 'behind' END AS state,
       c.updated_at, c.fault_seq, c.fault_id, c.fault_message, c.fault_at,
       m.live_build AS build, m.shown
FROM ledger.heads h
CROSS JOIN projections.read_models m
LEFT JOIN projections.checkpoints c
  ON c.projection = m.projection AND c.version = m.version AND c.build = m.live_build AND c.tenant = h.tenant;
COMMENT ON VIEW views.projection_status IS 'How fresh each read model is, per tenant.';
COMMENT ON COLUMN views.projection_status.tenant IS 'The tenant.';
COMMENT ON COLUMN views.projection_status.projection IS 'The read model: a view of this name is in this schema.';
COMMENT ON COLUMN views.projection_status.version IS 'Version of its fold; each has a table of its own.';
COMMENT ON COLUMN views.projection_status.as_of_seq IS 'The read model contains the tenant''s facts up to this place, and none after it.';
COMMENT ON COLUMN views.projection_status.as_of IS 'When the fact at as_of_seq was recorded; NULL before the first one.';
COMMENT ON COLUMN views.projection_status.head_seq IS 'Place of the tenant''s last recorded fact.';
COMMENT ON COLUMN views.projection_status.lag_facts IS 'Facts recorded and not yet in the read model; below 0 when the ledger lost facts that had been read.';
COMMENT ON COLUMN views.projection_status.lag_seconds IS 'Ledger time between as_of and the last recorded fact; 0 when nothing is missing, NULL when nothing was read yet.';
COMMENT ON COLUMN views.projection_status.state IS 'current, behind, paused (nobody keeps it, on somebody''s word), halted (stopped at a fact it cannot take; the fault columns say why), or ahead of ledger (the ledger was restored to an older state).';
COMMENT ON COLUMN views.projection_status.updated_at IS 'When the read model last moved.';
COMMENT ON COLUMN views.projection_status.fault_seq IS 'Place of the fact it halted at.';
COMMENT ON COLUMN views.projection_status.fault_id IS 'Id of that fact.';
COMMENT ON COLUMN views.projection_status.fault_message IS 'Why it halted.';
COMMENT ON COLUMN views.projection_status.fault_at IS 'When it halted.';
COMMENT ON COLUMN views.projection_status.build IS 'The table in use: each rebuild makes one more.';
COMMENT ON COLUMN views.projection_status.shown IS 'Whether the view shows this version.';
GRANT SELECT ON views.projection_status TO prov_ledger_runtime, prov_ledger_analyst;
ALTER VIEW views.projection_status OWNER TO prov_ledger_views;

GRANT UPDATE (live_build, shown, paused_at, pause_reason) ON projections.read_models TO prov_ledger_runtime;
GRANT SELECT, INSERT, UPDATE, DELETE ON projections.builds TO prov_ledger_runtime;
GRANT DELETE ON projections.checkpoints TO prov_ledger_runtime;

-- Gates are partitioned by build from now on. Views and gates are made anew when this migration is done; the tables
-- and their rows stay.
DO $$
DECLARE
  name text;
  gate regclass;
  part regclass;
BEGIN
  FOR name IN SELECT viewname FROM pg_views WHERE schemaname = 'views' AND viewname <> 'projection_status' LOOP
    EXECUTE format('DROP VIEW views.%I', name);
  END LOOP;
  FOR gate, part IN SELECT inhparent::regclass, inhrelid::regclass FROM pg_inherits
      JOIN pg_class c ON c.oid = inhrelid WHERE c.relnamespace = 'projections'::regnamespace AND c.relkind = 'r' LOOP
    EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', gate, part);
    EXECUTE format('DROP TABLE %s', gate);
    EXECUTE format('ALTER TABLE %s ADD COLUMN build integer NOT NULL DEFAULT 1 CHECK (build = 1)', part);
    EXECUTE format('COMMENT ON COLUMN %s.build IS %L', part, 'The build that the row belongs to, the same in the whole table.');
  END LOOP;
END $$;
