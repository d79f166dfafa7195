CREATE TABLE {table} (
  tenant text COLLATE "C" NOT NULL,
  timer_id text COLLATE "C" NOT NULL,
  saga text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  due_at timestamptz NOT NULL,
  scheduled_at timestamptz NOT NULL
);
COMMENT ON TABLE {table} IS 'One row per timer that has still to fire: which saga waits, and until when.';
COMMENT ON COLUMN {table}.tenant IS 'The tenant in whose chain it is.';
COMMENT ON COLUMN {table}.timer_id IS 'The timer''s own id, unique within its tenant.';
COMMENT ON COLUMN {table}.saga IS 'The saga that waits.';
COMMENT ON COLUMN {table}.key IS 'The instance of the saga that waits.';
COMMENT ON COLUMN {table}.due_at IS 'When it is due.';
COMMENT ON COLUMN {table}.scheduled_at IS 'When it was put on record.';
-- indexes
ALTER TABLE {table} ADD PRIMARY KEY (tenant, timer_id);
CREATE INDEX ON {table} (due_at);
