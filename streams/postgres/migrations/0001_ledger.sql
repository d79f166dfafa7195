-- The ledger: who its tenants are, where each chain ends, every fact, and the signature over every commit batch.

CREATE SCHEMA ledger;
COMMENT ON SCHEMA ledger IS 'The append-only sequence of facts. Analysts read the schema "views"; nothing here is ever updated but heads.';

CREATE TABLE ledger.identity (
  id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);
COMMENT ON TABLE ledger.identity IS 'The ledger''s own id, part of every signed statement.';
INSERT INTO ledger.identity (id) VALUES (gen_random_uuid());

-- fillfactor: a head moves with every commit; room on its page keeps the update off the indexes (HOT).
CREATE TABLE ledger.heads (
  tenant_no integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tenant text COLLATE "C" NOT NULL UNIQUE,
  seq bigint NOT NULL CHECK (seq >= 0),
  hash bytea NOT NULL CHECK (octet_length(hash) = 32),
  recorded_at timestamptz NOT NULL
) WITH (fillfactor = 30);
COMMENT ON TABLE ledger.heads IS 'The end of each tenant''s chain. An append is a compare-and-swap on this row.';

CREATE SEQUENCE ledger.batch_no INCREMENT BY 256;

CREATE TABLE ledger.batches (
  batch_no bigint PRIMARY KEY,
  kid text COLLATE "C" NOT NULL,
  signed_at timestamptz NOT NULL,
  root bytea NOT NULL,
  signature bytea NOT NULL,
  layout bytea NOT NULL
);
COMMENT ON TABLE ledger.batches IS 'One signature per commit over the Merkle root of the facts that the commit added.';
COMMENT ON COLUMN ledger.batches.layout IS 'For each tenant in the batch: tenant_no int4, first seq int8, count int4, Merkle root of its facts 32 bytes.';

-- Columns stand in the order that leaves no padding: a fact is its payload, its hash and about 120 bytes.
-- actor, op_id, op_parent_id and region are NULL where the payload's member of that name says the same; an empty
-- text says "absent" where the payload has such a member. ledger.fact_texts shows them in full.
CREATE TABLE ledger.facts (
  seq bigint NOT NULL,
  batch_no bigint NOT NULL,
  recorded_at timestamptz NOT NULL,
  occurred_at timestamptz NOT NULL,
  tenant_no integer NOT NULL,
  schema_version smallint NOT NULL,
  id uuid NOT NULL,
  hash bytea NOT NULL,
  type text COLLATE "C" NOT NULL,
  payload bytea NOT NULL,
  stream text COLLATE "C",
  actor text COLLATE "C",
  op_id text COLLATE "C",
  op_parent_id text COLLATE "C",
  region text COLLATE "C",
  traceparent text COLLATE "C",
  request_hash bytea,
  CONSTRAINT facts_place PRIMARY KEY (tenant_no, seq),
  CONSTRAINT facts_claim UNIQUE (tenant_no, id)
);
CREATE INDEX facts_stream ON ledger.facts (tenant_no, stream, seq) WHERE stream IS NOT NULL;
COMMENT ON TABLE ledger.facts IS 'Every fact, immutable. (tenant, seq) is its place, (tenant, id) the claim on its idempotency key.';
COMMENT ON COLUMN ledger.facts.payload IS 'RFC 8785 canonical JSON, the exact bytes that were hashed; never jsonb, which would rewrite them.';
COMMENT ON COLUMN ledger.facts.hash IS 'SHA-256 over place, authorship, payload digest and the hash of the fact before; the form is in docs/architecture.md.';
COMMENT ON COLUMN ledger.facts.request_hash IS 'SHA-256 of the request that claimed this id; NULL when it is that of the payload.';

CREATE FUNCTION ledger.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'facts are immutable: % on ledger.% refused', TG_OP, TG_TABLE_NAME
    USING ERRCODE = '42501', HINT = 'Record a new fact that corrects the old one.';
END $$;

-- Against the owner too, whom rights do not bind.
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.facts
  FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.batches
  FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.identity
  FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER never_deleted BEFORE DELETE OR TRUNCATE ON ledger.heads
  FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();

CREATE FUNCTION ledger.text_member(body jsonb, member text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN jsonb_typeof(body -> member) = 'string' THEN body ->> member END
$$;

CREATE VIEW ledger.fact_texts AS
SELECT h.tenant, f.seq, f.id, f.type, f.schema_version, f.stream, f.occurred_at, f.recorded_at,
       coalesce(f.actor, ledger.text_member(d.body, 'actor')) AS actor,
       nullif(coalesce(f.op_id, ledger.text_member(d.body, 'op_id')), '') AS op_id,
       nullif(coalesce(f.op_parent_id, ledger.text_member(d.body, 'op_parent_id')), '') AS op_parent_id,
       nullif(coalesce(f.region, ledger.text_member(d.body, 'region')), '') AS region,
       f.traceparent, d.body AS payload, encode(f.hash, 'hex') AS hash, f.batch_no
FROM ledger.facts f
JOIN ledger.heads h USING (tenant_no)
CROSS JOIN LATERAL (SELECT convert_from(f.payload, 'UTF8')::jsonb AS body) d;
COMMENT ON VIEW ledger.fact_texts IS 'Facts in readable form, for looking around. Hashes are over ledger.facts.payload, not over this.';

-- Ends a commit batch whose facts are in: moves the heads of all its tenants, each by its own compare-and-swap, or none
-- of them; stores the signature; rings once. Heads are locked in the order of tenant_no, so that two writers of the
-- same tenants never wait for each other. A procedure, so that `COPY …; CALL …` is one transaction in one round trip.
CREATE PROCEDURE ledger.seal_batch(
  tenant_nos integer[], expected_seqs bigint[], expected_hashes bytea[],
  new_seqs bigint[], new_hashes bytea[], new_recorded_ats timestamptz[],
  batch bigint, batch_kid text, batch_signed_at timestamptz, batch_root bytea, batch_signature bytea, batch_layout bytea
) LANGUAGE plpgsql AS $$
DECLARE
  moved integer;
BEGIN
  IF cardinality(tenant_nos) > 1 THEN
    PERFORM FROM ledger.heads WHERE tenant_no = ANY (tenant_nos) ORDER BY tenant_no FOR NO KEY UPDATE;
  END IF;
  UPDATE ledger.heads h SET seq = m.seq, hash = m.hash, recorded_at = m.recorded_at
  FROM unnest(tenant_nos, expected_seqs, expected_hashes, new_seqs, new_hashes, new_recorded_ats)
       AS m (tenant_no, expected_seq, expected_hash, seq, hash, recorded_at)
  WHERE h.tenant_no = m.tenant_no AND h.seq = m.expected_seq AND h.hash = m.expected_hash;
  GET DIAGNOSTICS moved = ROW_COUNT;
  IF moved <> cardinality(tenant_nos) THEN
    RAISE EXCEPTION 'a head has moved' USING ERRCODE = 'PL001';
  END IF;
  INSERT INTO ledger.batches (batch_no, kid, signed_at, root, signature, layout)
  VALUES (batch, batch_kid, batch_signed_at, batch_root, batch_signature, batch_layout);
  PERFORM pg_notify('ledger_facts', '');
END $$;

-- Opens a tenant's chain at its empty head; the first append then moves it. The name is taken once.
CREATE FUNCTION ledger.open_tenant(name text) RETURNS integer LANGUAGE sql AS $$
  INSERT INTO ledger.heads (tenant, seq, hash, recorded_at)
  VALUES (name, 0, decode(repeat('00', 32), 'hex'), 'epoch') ON CONFLICT (tenant) DO NOTHING
  RETURNING tenant_no
$$;

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'prov_ledger_runtime') THEN
    CREATE ROLE prov_ledger_runtime NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL; -- another migration in the same cluster made it at the same moment
END $$;
GRANT prov_ledger_runtime TO CURRENT_USER;
GRANT USAGE ON SCHEMA ledger TO prov_ledger_runtime;
GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO prov_ledger_runtime;
GRANT INSERT ON ledger.facts, ledger.batches, ledger.heads TO prov_ledger_runtime;
GRANT UPDATE (seq, hash, recorded_at) ON ledger.heads TO prov_ledger_runtime;
GRANT USAGE ON SEQUENCE ledger.batch_no TO prov_ledger_runtime;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA ledger TO prov_ledger_runtime;
