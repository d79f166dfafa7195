CREATE TABLE {table} (
  tenant text COLLATE "C" NOT NULL,
  feature text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL,
  pct bigint NOT NULL,
  description text COLLATE "C",
  reason text COLLATE "C" NOT NULL,
  freeze_cause text COLLATE "C",
  ramp_id text COLLATE "C",
  dry_run boolean,
  moved_by text COLLATE "C" NOT NULL,
  moved_at timestamptz NOT NULL,
  moved_seq bigint NOT NULL,
  observations bigint NOT NULL,
  last_seq bigint NOT NULL
);
COMMENT ON TABLE {table} IS 'One row per flag: how many get the feature, whether it is held there, and the ramp that moves it.';
COMMENT ON COLUMN {table}.tenant IS 'The tenant whose flag it is.';
COMMENT ON COLUMN {table}.feature IS 'The feature or route.';
COMMENT ON COLUMN {table}.status IS 'set, frozen or retired.';
COMMENT ON COLUMN {table}.pct IS 'In a hundred subjects, how many get the feature.';
COMMENT ON COLUMN {table}.description IS 'What the feature is, for people; NULL where nobody said.';
COMMENT ON COLUMN {table}.reason IS 'Why it moved the last time.';
COMMENT ON COLUMN {table}.freeze_cause IS 'What it was frozen for: missing, stale, insufficient, unusable, errors, added_errors, drift or ordered; NULL while it is not.';
COMMENT ON COLUMN {table}.ramp_id IS 'The ramp that is running; NULL while none is.';
COMMENT ON COLUMN {table}.dry_run IS 'Whether that ramp only says what it would do; NULL while none is running.';
COMMENT ON COLUMN {table}.moved_by IS 'Who moved it the last time: saga:ramps, or a person.';
COMMENT ON COLUMN {table}.moved_at IS 'When that was recorded.';
COMMENT ON COLUMN {table}.moved_seq IS 'Place of that in the tenant''s chain.';
COMMENT ON COLUMN {table}.observations IS 'Observations of the ramp that is running, or was the last to.';
COMMENT ON COLUMN {table}.last_seq IS 'Place in the tenant''s chain of the last fact about it.';
-- indexes
ALTER TABLE {table} ADD PRIMARY KEY (tenant, feature);
CREATE INDEX ON {table} (tenant) WHERE status = 'frozen';
