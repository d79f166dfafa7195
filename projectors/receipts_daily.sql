CREATE TABLE {table} (
  tenant text COLLATE "C" NOT NULL,
  day date NOT NULL,
  action text COLLATE "C" NOT NULL,
  decision text COLLATE "C" NOT NULL,
  receipts bigint NOT NULL,
  first_created_at timestamptz NOT NULL,
  last_created_at timestamptz NOT NULL,
  last_seq bigint NOT NULL
);
COMMENT ON TABLE {table} IS 'Receipts counted per day, action and decision.';
COMMENT ON COLUMN {table}.tenant IS 'The tenant whose ledger holds the receipts.';
COMMENT ON COLUMN {table}.day IS 'The day in UTC on which it happened (created_at of the receipt).';
COMMENT ON COLUMN {table}.action IS 'What was asked for.';
COMMENT ON COLUMN {table}.decision IS 'allow or deny.';
COMMENT ON COLUMN {table}.receipts IS 'How many receipts.';
COMMENT ON COLUMN {table}.first_created_at IS 'Earliest created_at among them.';
COMMENT ON COLUMN {table}.last_created_at IS 'Latest created_at among them.';
COMMENT ON COLUMN {table}.last_seq IS 'Place in the tenant''s chain of the one recorded last.';
-- indexes
ALTER TABLE {table} ADD PRIMARY KEY (tenant, day, action, decision);
