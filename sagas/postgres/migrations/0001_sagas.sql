-- Sagas: how far each has come, and the states of their instances. All of it can be folded from the ledger again.

CREATE SCHEMA sagas;
COMMENT ON SCHEMA sagas IS 'How far the sagas have come with each tenant, and the states of their instances; folded from the ledger.';

CREATE TABLE sagas.installations (
  saga text COLLATE "C" NOT NULL,
  version integer NOT NULL CHECK (version > 0),
  installed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (saga, version)
);
COMMENT ON TABLE sagas.installations IS 'Every version of every saga that has run here.';

CREATE TABLE sagas.positions (
  saga text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  seq bigint NOT NULL CHECK (seq >= 0),
  hash bytea NOT NULL CHECK (octet_length(hash) = 32),
  recorded_at timestamptz NOT NULL,
  muted_to bigint NOT NULL DEFAULT 0 CHECK (muted_to >= 0),
  updated_at timestamptz NOT NULL DEFAULT now(),
  parked_seq bigint,
  parked_id text COLLATE "C",
  parked_message text COLLATE "C",
  parked_at timestamptz,
  PRIMARY KEY (saga, version, tenant),
  FOREIGN KEY (saga, version) REFERENCES sagas.installations,
  CHECK (num_nulls(parked_seq, parked_id, parked_message, parked_at) IN (0, 4))
) WITH (fillfactor = 30);
COMMENT ON TABLE sagas.positions IS 'How far each saga has come with each tenant; changes in the same transaction as its states.';
COMMENT ON COLUMN sagas.positions.hash IS 'Chain hash of the fact at seq: a log that was swapped does not go on from it.';
COMMENT ON COLUMN sagas.positions.muted_to IS 'Up to this place the saga folds and is silent.';
COMMENT ON COLUMN sagas.positions.parked_seq IS 'Place of the fact it has halted at; NULL while it runs.';

CREATE TABLE sagas.states (
  saga text COLLATE "C" NOT NULL,
  version integer NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  state text COLLATE "C" NOT NULL,
  last_seq bigint NOT NULL,
  PRIMARY KEY (saga, version, tenant, key),
  FOREIGN KEY (saga, version) REFERENCES sagas.installations
);
COMMENT ON TABLE sagas.states IS 'The state of each instance of each saga, as JSON text.';

GRANT USAGE ON SCHEMA sagas TO prov_ledger_runtime;
GRANT SELECT, INSERT ON sagas.installations TO prov_ledger_runtime;
GRANT SELECT, INSERT, UPDATE ON sagas.positions, sagas.states TO prov_ledger_runtime;
