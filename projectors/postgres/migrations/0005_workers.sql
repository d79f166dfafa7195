-- Workers: processes that keep read models and share the tenants among them. All tenants are parted into 256 slots by a
-- hash of their names; a worker that is alive holds some of them. Thousands of tenants so cost 256 rows.

CREATE TABLE projections.workers (
  worker text COLLATE "C" PRIMARY KEY,
  started_at timestamptz NOT NULL DEFAULT now(),
  lease_until timestamptz NOT NULL
);
COMMENT ON TABLE projections.workers IS 'The processes that keep read models; one that stays silent past its lease is left out.';

CREATE TABLE projections.slots (
  slot smallint PRIMARY KEY CHECK (slot BETWEEN 0 AND 255),
  worker text COLLATE "C",
  epoch bigint NOT NULL DEFAULT 0,
  taken_at timestamptz
) WITH (fillfactor = 50);
COMMENT ON TABLE projections.slots IS 'Which worker keeps the read models of which tenants; each step of a worker holds the lines of its slots until it commits.';
COMMENT ON COLUMN projections.slots.slot IS 'A part of all tenants: the first byte of the SHA-256 of the name.';
COMMENT ON COLUMN projections.slots.epoch IS 'Counts up whenever the slot is taken: a step that names an older one changes nothing.';
INSERT INTO projections.slots (slot) SELECT generate_series(0, 255);

GRANT SELECT, INSERT, UPDATE, DELETE ON projections.workers TO prov_ledger_runtime;
GRANT SELECT, UPDATE ON projections.slots TO prov_ledger_runtime;
