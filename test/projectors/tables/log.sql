CREATE TABLE {table} (
  tenant text COLLATE "C" NOT NULL,
  seq bigint NOT NULL,
  id text COLLATE "C" NOT NULL
);
-- indexes
ALTER TABLE {table} ADD PRIMARY KEY (tenant, id);
