-- Facts come from other stores too: a ledger that is restored, copied, or a tenant that moves to another server. They
-- come tenant by tenant, with the signatures they have.

-- The layout of a batch that came for one tenant alone names that tenant; the way from its root to the signed one stands
-- here: tenant count int4, facts in the whole batch int4, the tenant's index int4, then 32 bytes for each step.
ALTER TABLE ledger.batches ADD COLUMN way bytea;
COMMENT ON COLUMN ledger.batches.way IS 'NULL: the layout names every tenant of the batch. Else the way from the one share in it to the root: tenant count int4, fact count int4, tenant index int4, then the hashes.';

-- Where a tenant stands in this store. Facts are appended to one that is here, and to no other; facts from elsewhere go
-- to one that arrives, and to no other. So two stores never take appends for one tenant, whoever is asked.
ALTER TABLE ledger.heads
  ADD COLUMN standing text COLLATE "C" NOT NULL DEFAULT 'here'
    CHECK (standing IN ('here', 'leaving', 'arriving', 'gone')),
  ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN ledger.heads.standing IS 'here: takes appends. leaving: is read, takes none for a moment. arriving: its facts are being brought. gone: another store has it.';
COMMENT ON COLUMN ledger.heads.epoch IS 'Counts the moves of the tenant. A move that was begun with a lower one changes nothing any more.';

CREATE TABLE ledger.arrivals (
  source text COLLATE "C" NOT NULL,
  began_at timestamptz NOT NULL DEFAULT now(),
  ended_at timestamptz
);
CREATE UNIQUE INDEX arrivals_under_way ON ledger.arrivals ((true)) WHERE ended_at IS NULL;
COMMENT ON TABLE ledger.arrivals IS 'Whole ledgers brought into this database: from where, and whether all of it is here and proved.';
GRANT SELECT ON ledger.arrivals TO prov_ledger_runtime;

-- As in 0001 and 0003, and it tells a head that has moved from a tenant that is not here.
CREATE OR REPLACE PROCEDURE ledger.seal_batch(
  tenant_nos integer[], expected_seqs bigint[], expected_hashes bytea[],
  new_seqs bigint[], new_hashes bytea[], new_recorded_ats timestamptz[],
  batch bigint, batch_kid text, batch_signed_at timestamptz, batch_root bytea, batch_signature bytea, batch_layout bytea
) LANGUAGE plpgsql SET lock_timeout = '1ms' AS $$
DECLARE
  moved integer;
  away text;
BEGIN
  IF cardinality(tenant_nos) > 1 THEN
    PERFORM FROM ledger.heads WHERE tenant_no = ANY (tenant_nos) ORDER BY tenant_no FOR NO KEY UPDATE;
  END IF;
  UPDATE ledger.heads h SET seq = m.seq, hash = m.hash, recorded_at = m.recorded_at
  FROM unnest(tenant_nos, expected_seqs, expected_hashes, new_seqs, new_hashes, new_recorded_ats)
       AS m (tenant_no, expected_seq, expected_hash, seq, hash, recorded_at)
  WHERE h.tenant_no = m.tenant_no AND h.seq = m.expected_seq AND h.hash = m.expected_hash AND h.standing = 'here';
  GET DIAGNOSTICS moved = ROW_COUNT;
  IF moved <> cardinality(tenant_nos) THEN
    SELECT tenant INTO away FROM ledger.heads WHERE tenant_no = ANY (tenant_nos) AND standing <> 'here' LIMIT 1;
    IF away IS NOT NULL THEN
      RAISE EXCEPTION 'the tenant % is not here', away USING ERRCODE = 'PL002';
    END IF;
    RAISE EXCEPTION 'a head has moved' USING ERRCODE = 'PL001';
  END IF;
  INSERT INTO ledger.batches (batch_no, kid, signed_at, root, signature, layout)
  VALUES (batch, batch_kid, batch_signed_at, batch_root, batch_signature, batch_layout);
  PERFORM pg_notify('ledger_facts', '');
END $$;

-- As in 0001; while a ledger is being brought, nobody opens a tenant in the midst of it.
CREATE OR REPLACE FUNCTION ledger.open_tenant(name text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  made integer;
BEGIN
  INSERT INTO ledger.heads (tenant, seq, hash, recorded_at)
  VALUES (name, 0, decode(repeat('00', 32), 'hex'), 'epoch') ON CONFLICT (tenant) DO NOTHING
  RETURNING tenant_no INTO made;
  IF made IS NOT NULL AND EXISTS (SELECT FROM ledger.arrivals WHERE ended_at IS NULL) THEN
    RAISE EXCEPTION 'a ledger is being brought into this database' USING ERRCODE = 'PL002';
  END IF;
  RETURN made;
END $$;
GRANT UPDATE (standing, epoch) ON ledger.heads TO prov_ledger_runtime;
