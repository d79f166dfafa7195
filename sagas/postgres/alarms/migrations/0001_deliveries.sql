-- Alarms on their way out: what was told to whom. The alarms themselves are facts; of these tables only the memory of what
-- was told is lost with them.

CREATE SCHEMA alarms;
COMMENT ON SCHEMA alarms IS 'Which alarms were told to which sinks.';

CREATE TABLE alarms.sinks (
  sink text COLLATE "C" PRIMARY KEY,
  since timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE alarms.sinks IS 'Sinks that were ever configured; what was raised before a sink was first there is not told to it.';

CREATE TABLE alarms.deliveries (
  tenant text COLLATE "C" NOT NULL,
  alarm text COLLATE "C" NOT NULL,
  sink text COLLATE "C" NOT NULL REFERENCES alarms.sinks,
  attempts integer NOT NULL DEFAULT 0,
  first_tried_at timestamptz,
  next_try_at timestamptz NOT NULL DEFAULT now(),
  outcome text COLLATE "C" CHECK (outcome IN ('delivered', 'given up', 'muted')),
  settled_at timestamptz,
  last_fault text COLLATE "C",
  PRIMARY KEY (tenant, alarm, sink),
  CHECK ((outcome IS NULL) = (settled_at IS NULL))
);
CREATE INDEX deliveries_due ON alarms.deliveries (next_try_at) WHERE outcome IS NULL;
COMMENT ON TABLE alarms.deliveries IS 'One row for each alarm and sink; without an outcome it is still on its way.';
COMMENT ON COLUMN alarms.deliveries.next_try_at IS 'While a process tells it: until when the others leave it alone.';

GRANT USAGE ON SCHEMA alarms TO prov_ledger_runtime;
GRANT SELECT, INSERT ON alarms.sinks TO prov_ledger_runtime;
GRANT SELECT, INSERT, UPDATE ON alarms.deliveries TO prov_ledger_runtime;
