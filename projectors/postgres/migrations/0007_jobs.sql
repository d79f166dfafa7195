-- Jobs: work on a read model that was asked for over HTTP and is not waited for. Every process of the ledger sees all of
-- them; the one that runs a job says every second how far it is, and that it is alive.

CREATE TABLE projections.jobs (
  job uuid PRIMARY KEY,
  projection text COLLATE "C" NOT NULL,
  kind text COLLATE "C" NOT NULL CHECK (kind IN ('rebuild', 'verification', 'rollback', 'drop-old')),
  tenant text COLLATE "C",
  actor text COLLATE "C" NOT NULL,
  state text COLLATE "C" NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'failed', 'cancelled', 'interrupted')),
  phase text COLLATE "C" NOT NULL DEFAULT 'waiting',
  facts bigint NOT NULL DEFAULT 0,
  total bigint NOT NULL DEFAULT 0,
  runner text COLLATE "C" NOT NULL,
  lease_until timestamptz NOT NULL,
  started_at timestamptz NOT NULL,
  finished_at timestamptz,
  cancelled_by text COLLATE "C",
  result jsonb,
  failure jsonb,
  CHECK ((state = 'running') = (finished_at IS NULL)),
  CHECK ((state = 'done') = (result IS NOT NULL)),
  CHECK ((state = 'failed') = (failure IS NOT NULL))
) WITH (fillfactor = 50);
COMMENT ON TABLE projections.jobs IS 'Rebuilds, verifications, rollbacks and droppings that were begun over HTTP: the last ones of each read model.';
COMMENT ON COLUMN projections.jobs.actor IS 'By whose token it was begun.';
COMMENT ON COLUMN projections.jobs.facts IS 'Facts gone through in this phase, of "total".';
COMMENT ON COLUMN projections.jobs.runner IS 'The process that runs it.';
COMMENT ON COLUMN projections.jobs.lease_until IS 'A job that is running and whose process has been silent beyond this is interrupted.';
COMMENT ON COLUMN projections.jobs.cancelled_by IS 'Who asked for its end; the process that runs it reads this when it says how far it is.';
CREATE UNIQUE INDEX jobs_under_way ON projections.jobs (projection) WHERE state = 'running';
CREATE INDEX jobs_newest ON projections.jobs (projection, started_at DESC);

GRANT SELECT, INSERT, UPDATE, DELETE ON projections.jobs TO prov_ledger_runtime;
