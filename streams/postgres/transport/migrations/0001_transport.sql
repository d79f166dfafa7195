-- Messages on their way into the ledger: how far each topic was taken, what became of every message, and those that could
-- not be taken. All of it moves in the transaction that stores the facts.

CREATE SCHEMA transport;
COMMENT ON SCHEMA transport IS 'Messages that come over topics: positions, fates, and those kept aside.';

-- fillfactor: a position moves with every batch; room on its page keeps the update off the index (HOT).
CREATE TABLE transport.positions (
  topic text COLLATE "C" NOT NULL,
  partition integer NOT NULL CHECK (partition >= 0),
  first_offset bigint NOT NULL CHECK (first_offset >= 0),
  next_offset bigint NOT NULL CHECK (next_offset >= first_offset),
  absent bigint NOT NULL DEFAULT 0 CHECK (absent >= 0),
  lost bigint NOT NULL DEFAULT 0 CHECK (lost >= 0),
  epoch bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (topic, partition)
) WITH (fillfactor = 30);
COMMENT ON TABLE transport.positions IS 'The offset that each partition is taken from next. Whoever stores messages moves it by compare-and-swap in the same transaction: of two consumers one wins, and no message is taken twice.';
COMMENT ON COLUMN transport.positions.absent IS 'Offsets in between at which the topic holds no message: marks of transactions, compacted ones.';
COMMENT ON COLUMN transport.positions.lost IS 'Offsets that retention had removed before they were taken.';
COMMENT ON COLUMN transport.positions.epoch IS 'Counts the changes to letters made from outside the consumer, which then reads them anew.';

CREATE TABLE transport.flow (
  topic text COLLATE "C" NOT NULL,
  partition integer NOT NULL,
  hour timestamptz NOT NULL,
  received bigint NOT NULL DEFAULT 0,
  accepted bigint NOT NULL DEFAULT 0,
  duplicate bigint NOT NULL DEFAULT 0,
  conflict bigint NOT NULL DEFAULT 0,
  dead_lettered bigint NOT NULL DEFAULT 0,
  held bigint NOT NULL DEFAULT 0,
  discarded bigint NOT NULL DEFAULT 0,
  stated_seq bigint,
  changed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (topic, partition, hour),
  CONSTRAINT conservation CHECK (received = accepted + duplicate + conflict + dead_lettered + held),
  CHECK (least(accepted, duplicate, conflict, dead_lettered, held, discarded) >= 0),
  CHECK (discarded <= dead_lettered)
) WITH (fillfactor = 50);
COMMENT ON TABLE transport.flow IS 'What became of the messages taken in each hour. A message replayed later moves in the row of the hour it came in.';
COMMENT ON COLUMN transport.flow.stated_seq IS 'The fact in the chain "operations" that states this row as it is now; NULL when there is none.';

CREATE TABLE transport.letters (
  letter bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic text COLLATE "C" NOT NULL,
  partition integer NOT NULL,
  message_offset bigint NOT NULL,
  key bytea,
  value bytea,
  headers jsonb NOT NULL,
  sent_at timestamptz NOT NULL,
  received_at timestamptz NOT NULL,
  state text COLLATE "C" NOT NULL CHECK (state IN ('dead', 'held', 'settled', 'discarded')),
  error_class text COLLATE "C" NOT NULL,
  error text COLLATE "C" NOT NULL,
  schema_id bigint,
  outcome text COLLATE "C" CHECK (outcome IN ('accepted', 'duplicate', 'conflict')),
  settled_at timestamptz,
  published boolean NOT NULL DEFAULT false,
  UNIQUE (topic, partition, message_offset),
  CHECK ((state = 'settled') = (outcome IS NOT NULL))
);
COMMENT ON TABLE transport.letters IS 'Messages that could not be taken, and those held behind them because they have the same key. Never deleted.';
CREATE INDEX letters_open ON transport.letters (topic, partition, key, message_offset) WHERE state IN ('dead', 'held');
CREATE INDEX letters_unpublished ON transport.letters (topic, partition, letter) WHERE state = 'dead' AND NOT published;

CREATE TRIGGER never_deleted BEFORE DELETE OR TRUNCATE ON transport.positions
  FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER never_deleted BEFORE DELETE OR TRUNCATE ON transport.flow
  FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER never_deleted BEFORE DELETE OR TRUNCATE ON transport.letters
  FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();

-- How far the ledger's facts were sent to a topic. A relay that died sends some of them again; readers know them by seq.
CREATE TABLE transport.relayed (
  topic text COLLATE "C" NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  seq bigint NOT NULL,
  hash bytea NOT NULL CHECK (octet_length(hash) = 32),
  PRIMARY KEY (topic, tenant)
) WITH (fillfactor = 50);
COMMENT ON TABLE transport.relayed IS 'The last fact of each tenant that a broker has acknowledged, by topic.';

GRANT USAGE ON SCHEMA transport TO prov_ledger_runtime;
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA transport TO prov_ledger_runtime;

-- Counts of all tenants together: for auditors, while an analyst of one tenant sees no row (as in the views of read
-- models, it is the owner of the view whom row-level security binds).
ALTER TABLE transport.flow ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_rows ON transport.flow TO prov_ledger_runtime USING (true);
CREATE POLICY auditors ON transport.flow FOR SELECT TO prov_ledger_views
  USING ((SELECT pg_has_role(current_user, 'prov_ledger_auditor', 'MEMBER')));
GRANT USAGE ON SCHEMA transport TO prov_ledger_views;
GRANT SELECT ON transport.flow TO prov_ledger_views;
CREATE VIEW views.message_flow AS
  SELECT topic, partition, hour, received, accepted, duplicate, conflict, dead_lettered, held, discarded, stated_seq
  FROM transport.flow;
ALTER VIEW views.message_flow OWNER TO prov_ledger_views;
GRANT SELECT ON views.message_flow TO prov_ledger_analyst;
COMMENT ON VIEW views.message_flow IS 'What became of the messages that came over topics, by topic, partition and hour: received = accepted + duplicate + conflict + dead_lettered + held.';
COMMENT ON COLUMN views.message_flow.topic IS 'The topic, as the cluster calls it.';
COMMENT ON COLUMN views.message_flow.partition IS 'The partition of the topic.';
COMMENT ON COLUMN views.message_flow.hour IS 'The hour in which the messages came in, by the ledger''s clock.';
COMMENT ON COLUMN views.message_flow.received IS 'Messages that came in.';
COMMENT ON COLUMN views.message_flow.accepted IS 'Recorded as facts, at once or when they were replayed.';
COMMENT ON COLUMN views.message_flow.duplicate IS 'Recorded before: nothing was added.';
COMMENT ON COLUMN views.message_flow.conflict IS 'Whose id stands for another receipt: the conflict is on record, the message was not taken.';
COMMENT ON COLUMN views.message_flow.dead_lettered IS 'That cannot be taken as they are; see prov-ledger dlq.';
COMMENT ON COLUMN views.message_flow.held IS 'That wait: behind another of their key, or for the registry of schemas.';
COMMENT ON COLUMN views.message_flow.discarded IS 'Of the dead-lettered, those that were given up.';
COMMENT ON COLUMN views.message_flow.stated_seq IS 'Place in the chain of the tenant operations of the fact that states this row; NULL while there is none.';
