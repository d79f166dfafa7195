CREATE TABLE {table} (
  tenant text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL CHECK (name <> 'refused by the database'),
  total bigint NOT NULL,
  seqs text[] NOT NULL,
  note text COLLATE "C"
);
-- indexes
ALTER TABLE {table} ADD PRIMARY KEY (tenant, name);
