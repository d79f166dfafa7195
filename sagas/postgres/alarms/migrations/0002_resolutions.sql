-- What was told of the ends of alarms. A table of its own, so that a service of the release before, which tells alarms
-- while this one is rolled out, does not take an end for an alarm.

CREATE TABLE alarms.resolutions (
  tenant text COLLATE "C" NOT NULL,
  alarm text COLLATE "C" NOT NULL,
  sink text COLLATE "C" NOT NULL,
  reopening text COLLATE "C" NOT NULL,
  attempts integer NOT NULL DEFAULT 0,
  first_tried_at timestamptz,
  next_try_at timestamptz NOT NULL DEFAULT now(),
  outcome text COLLATE "C" CHECK (outcome IN ('delivered', 'given up', 'muted')),
  settled_at timestamptz,
  last_fault text COLLATE "C",
  PRIMARY KEY (tenant, alarm, sink),
  FOREIGN KEY (tenant, alarm, sink) REFERENCES alarms.deliveries,
  CHECK ((outcome IS NULL) = (settled_at IS NULL))
);
CREATE INDEX resolutions_due ON alarms.resolutions (next_try_at) WHERE outcome IS NULL;
COMMENT ON TABLE alarms.resolutions IS 'One row for each alarm that is over and each sink that has taken it; without an outcome it is still on its way.';
COMMENT ON COLUMN alarms.resolutions.reopening IS 'The instance of the saga of reopenings that ended the alarm.';
COMMENT ON COLUMN alarms.resolutions.next_try_at IS 'While a process tells it: until when the others leave it alone.';

GRANT SELECT, INSERT, UPDATE ON alarms.resolutions TO prov_ledger_runtime;
