CREATE TABLE {table} (
  tenant text COLLATE "C" NOT NULL,
  receipt_id text COLLATE "C" NOT NULL,
  seq bigint NOT NULL,
  fact_id text COLLATE "C" NOT NULL,
  action text COLLATE "C" NOT NULL,
  actor text COLLATE "C" NOT NULL,
  decision text COLLATE "C" NOT NULL,
  created_at timestamptz NOT NULL,
  recorded_at timestamptz NOT NULL,
  evidence_hash text COLLATE "C",
  policy_version text COLLATE "C",
  region text COLLATE "C",
  kid text COLLATE "C",
  op_id text COLLATE "C",
  op_parent_id text COLLATE "C",
  schema_version text COLLATE "C" NOT NULL,
  inputs jsonb
);
COMMENT ON TABLE {table} IS 'One row per receipt: who asked for which privileged action, and what was decided.';
COMMENT ON COLUMN {table}.tenant IS 'The tenant whose ledger holds the receipt.';
COMMENT ON COLUMN {table}.receipt_id IS 'The receipt''s own id, unique within its tenant.';
COMMENT ON COLUMN {table}.seq IS 'Place of the fact in the tenant''s chain; ascending is the order in which receipts were recorded.';
COMMENT ON COLUMN {table}.fact_id IS 'Id of the fact that holds the receipt.';
COMMENT ON COLUMN {table}.action IS 'What was asked for, for example db.export.';
COMMENT ON COLUMN {table}.actor IS 'Who asked.';
COMMENT ON COLUMN {table}.decision IS 'allow or deny.';
COMMENT ON COLUMN {table}.created_at IS 'When it happened, by the clock of the receipt''s source.';
COMMENT ON COLUMN {table}.recorded_at IS 'When it was recorded, by the ledger''s clock; never goes back as seq ascends.';
COMMENT ON COLUMN {table}.evidence_hash IS 'Hash of the evidence, <algorithm>:<lower-case hexadecimal digits>; NULL when the receipt names none.';
COMMENT ON COLUMN {table}.policy_version IS 'Version of the policy that decided; NULL when the receipt names none.';
COMMENT ON COLUMN {table}.region IS 'Where it happened; NULL when the receipt does not say.';
COMMENT ON COLUMN {table}.kid IS 'Id of the producer''s key; NULL when the receipt names none.';
COMMENT ON COLUMN {table}.op_id IS 'The operation that the action belongs to; NULL when it belongs to none.';
COMMENT ON COLUMN {table}.op_parent_id IS 'The operation that caused that one; NULL when there is none.';
COMMENT ON COLUMN {table}.schema_version IS 'Version in which the receipt came: 0.1, 0.2 or 1. The other columns read the same for all of them.';
COMMENT ON COLUMN {table}.inputs IS 'What the decision was made from; NULL when the receipt does not say.';
-- indexes: each for a question of docs/sql-cookbook.md. A row costs 6 us of writing, and then for each index over
-- random texts (the key, evidence, operations) 6 us, for one over few values (actor, policy) 2 to 4, for BRIN nothing.
-- Not USING hash, although it is half as dear: it goes through all rows of the same value to add one more, and a
-- thousand receipts may name the same operation or evidence.
ALTER TABLE {table} ADD PRIMARY KEY (tenant, receipt_id);
-- For GET /receipts, a page at a time; ascending, so that a row is added at the end and costs 1 us.
CREATE INDEX ON {table} (tenant, seq);
CREATE INDEX ON {table} (tenant, actor);
CREATE INDEX ON {table} (tenant, policy_version) WHERE policy_version IS NOT NULL;
CREATE INDEX ON {table} (tenant, evidence_hash) WHERE evidence_hash IS NOT NULL;
CREATE INDEX ON {table} (tenant, op_id) WHERE op_id IS NOT NULL;
CREATE INDEX ON {table} (tenant, op_parent_id) WHERE op_parent_id IS NOT NULL;
CREATE INDEX ON {table} USING brin (created_at);
