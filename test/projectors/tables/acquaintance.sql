CREATE TABLE {table} (
  tenant text COLLATE "C" NOT NULL,
  element text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  target text COLLATE "C" NOT NULL,
  seq bigint NOT NULL,
  since timestamptz,
  weight bigint,
  tags text[],
  met integer
);
COMMENT ON TABLE {table} IS 'Test.';
-- indexes
ALTER TABLE {table} ADD PRIMARY KEY (tenant, element, id, target);
