CREATE TABLE {table} (
  tenant text COLLATE "C" NOT NULL,
  who text COLLATE "C" NOT NULL,
  whom text COLLATE "C" NOT NULL,
  seq bigint NOT NULL,
  since timestamptz,
  weight bigint,
  tags text[],
  met integer
);
COMMENT ON TABLE {table} IS 'Test.';
-- indexes
ALTER TABLE {table} ADD PRIMARY KEY (tenant, who, whom);
CREATE INDEX ON {table} (tenant, seq);
CREATE INDEX ON {table} (tenant, whom);
