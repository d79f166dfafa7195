CREATE TABLE {table} (
  tenant text COLLATE "C" NOT NULL,
  placed_tenant text COLLATE "C" NOT NULL,
  shard text COLLATE "C" NOT NULL,
  moving_to text COLLATE "C",
  epoch bigint NOT NULL,
  moved_by text COLLATE "C" NOT NULL,
  begun_at timestamptz NOT NULL,
  placed_at timestamptz,
  last_seq bigint NOT NULL
);
COMMENT ON TABLE {table} IS 'One row per tenant that was ever moved between the stores of the ledger: where it is, and where it is moving.';
COMMENT ON COLUMN {table}.tenant IS 'The tenant in whose chain the placement is recorded: operators.';
COMMENT ON COLUMN {table}.placed_tenant IS 'The tenant that is placed.';
COMMENT ON COLUMN {table}.shard IS 'The store that has it; home is the one that has this chain.';
COMMENT ON COLUMN {table}.moving_to IS 'The store it is moving to; NULL while it stays.';
COMMENT ON COLUMN {table}.epoch IS 'How often it was moved.';
COMMENT ON COLUMN {table}.moved_by IS 'Who began the last move.';
COMMENT ON COLUMN {table}.begun_at IS 'When the last move was begun.';
COMMENT ON COLUMN {table}.placed_at IS 'When a move of it ended the last time; NULL before the first one has.';
COMMENT ON COLUMN {table}.last_seq IS 'Place in the chain of the last fact about it.';
-- indexes
ALTER TABLE {table} ADD PRIMARY KEY (tenant, placed_tenant);
