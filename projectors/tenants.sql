CREATE TABLE {table} (
  tenant text COLLATE "C" NOT NULL,
  display_name text COLLATE "C",
  status text COLLATE "C" NOT NULL,
  created_at timestamptz NOT NULL,
  tokens_active bigint NOT NULL,
  receipts bigint NOT NULL,
  receipts_allowed bigint NOT NULL,
  receipts_denied bigint NOT NULL,
  last_receipt_at timestamptz,
  last_fact_at timestamptz NOT NULL,
  last_seq bigint NOT NULL
);
COMMENT ON TABLE {table} IS 'One row per tenant: its state, and its receipts in figures.';
COMMENT ON COLUMN {table}.tenant IS 'Name of the tenant.';
COMMENT ON COLUMN {table}.display_name IS 'The name people know it by; NULL when its chain does not begin with its creation.';
COMMENT ON COLUMN {table}.status IS 'active or suspended.';
COMMENT ON COLUMN {table}.created_at IS 'When its first fact was recorded.';
COMMENT ON COLUMN {table}.tokens_active IS 'Tokens issued and not revoked; those that ran out by their own date count until they are revoked.';
COMMENT ON COLUMN {table}.receipts IS 'Receipts recorded.';
COMMENT ON COLUMN {table}.receipts_allowed IS 'Receipts whose decision was allow.';
COMMENT ON COLUMN {table}.receipts_denied IS 'Receipts whose decision was deny.';
COMMENT ON COLUMN {table}.last_receipt_at IS 'When the last receipt was recorded; NULL when there is none.';
COMMENT ON COLUMN {table}.last_fact_at IS 'When the last fact counted here was recorded.';
COMMENT ON COLUMN {table}.last_seq IS 'Place of that fact; places have no gaps, so this is also how many facts the tenant had then.';
-- indexes
ALTER TABLE {table} ADD PRIMARY KEY (tenant);
