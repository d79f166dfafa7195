CREATE TABLE {table} (
  tenant text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  day date NOT NULL,
  big bigint,
  small integer,
  yes boolean,
  at timestamptz,
  json jsonb,
  texts text[],
  bytes bytea
);
-- indexes
ALTER TABLE {table} ADD PRIMARY KEY (tenant, day, id);
