CREATE TABLE {table} (
  tenant text COLLATE "C" NOT NULL,
  route text COLLATE "C" NOT NULL,
  status text COLLATE "C" NOT NULL,
  epoch bigint NOT NULL,
  reason text COLLATE "C" NOT NULL,
  alarm_id text COLLATE "C",
  moved_by text COLLATE "C" NOT NULL,
  closed_at timestamptz NOT NULL,
  restored_at timestamptz,
  closings bigint NOT NULL,
  last_seq bigint NOT NULL
);
COMMENT ON TABLE {table} IS 'One row per route whose write path was ever closed: whether it is now, why, and by whom.';
COMMENT ON COLUMN {table}.tenant IS 'The tenant whose write path it is.';
COMMENT ON COLUMN {table}.route IS 'The route or job.';
COMMENT ON COLUMN {table}.status IS 'open or closed.';
COMMENT ON COLUMN {table}.epoch IS 'How often the gate has moved.';
COMMENT ON COLUMN {table}.reason IS 'Why it moved the last time.';
COMMENT ON COLUMN {table}.alarm_id IS 'The alarm that closed it the last time; NULL when somebody did.';
COMMENT ON COLUMN {table}.moved_by IS 'Who moved it the last time: saga:drift, or a person.';
COMMENT ON COLUMN {table}.closed_at IS 'When it was closed the last time.';
COMMENT ON COLUMN {table}.restored_at IS 'When it was opened again after that; NULL while it is closed.';
COMMENT ON COLUMN {table}.closings IS 'How often it was closed.';
COMMENT ON COLUMN {table}.last_seq IS 'Place in the tenant''s chain of the last fact about it.';
-- indexes
ALTER TABLE {table} ADD PRIMARY KEY (tenant, route);
CREATE INDEX ON {table} (tenant) WHERE status = 'closed';
