CREATE TABLE {table} (
  tenant text COLLATE "C" NOT NULL,
  fact_id text COLLATE "C" NOT NULL,
  seq bigint NOT NULL,
  type text COLLATE "C" NOT NULL,
  actor text COLLATE "C" NOT NULL,
  stream text COLLATE "C",
  op_id text COLLATE "C",
  op_parent_id text COLLATE "C",
  region text COLLATE "C",
  occurred_at timestamptz NOT NULL,
  recorded_at timestamptz NOT NULL,
  hash text COLLATE "C" NOT NULL
);
COMMENT ON TABLE {table} IS 'One row per fact that is no receipt: what was changed about the ledger itself, and by whom.';
COMMENT ON COLUMN {table}.tenant IS 'The tenant in whose chain it is.';
COMMENT ON COLUMN {table}.fact_id IS 'Id of the fact.';
COMMENT ON COLUMN {table}.seq IS 'Place of the fact in the tenant''s chain.';
COMMENT ON COLUMN {table}.type IS 'What was said, for example tenants.TokenIssued.';
COMMENT ON COLUMN {table}.actor IS 'Who said it: a token, a person by name, or saga:<name>.';
COMMENT ON COLUMN {table}.stream IS 'What it is about, <domain>-<entity>; NULL when it is about nothing that lasts.';
COMMENT ON COLUMN {table}.op_id IS 'The operation that it belongs to; NULL when it belongs to none.';
COMMENT ON COLUMN {table}.op_parent_id IS 'The operation that caused that one; NULL when there is none.';
COMMENT ON COLUMN {table}.region IS 'Where it was said; NULL when it does not say.';
COMMENT ON COLUMN {table}.occurred_at IS 'When it happened, by the clock of its source.';
COMMENT ON COLUMN {table}.recorded_at IS 'When it was recorded, by the ledger''s clock; never goes back as seq ascends.';
COMMENT ON COLUMN {table}.hash IS 'The fact''s hash in the chain, which covers its payload.';
-- indexes: (tenant, seq) for the attestation of what is new, the others for who named something first.
ALTER TABLE {table} ADD PRIMARY KEY (tenant, fact_id);
CREATE INDEX ON {table} (tenant, seq);
CREATE INDEX ON {table} (tenant, actor, seq);
CREATE INDEX ON {table} (tenant, stream, seq) WHERE stream IS NOT NULL;
CREATE INDEX ON {table} (tenant, op_id, seq) WHERE op_id IS NOT NULL;
CREATE INDEX ON {table} (tenant, op_parent_id, seq) WHERE op_parent_id IS NOT NULL;
