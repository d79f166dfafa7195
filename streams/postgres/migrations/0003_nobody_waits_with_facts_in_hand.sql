-- Whoever holds a head (an importer, a process that lost some races) inserts facts behind it; another who has inserted a
-- fact there already and waits for the head would have them wait for each other until the server notices, a second
-- later. So nobody waits for a head with facts in hand: it is a lost race, and the next attempt finds the new head.
ALTER PROCEDURE ledger.seal_batch(
  integer[], bigint[], bytea[], bigint[], bytea[], timestamptz[], bigint, text, timestamptz, bytea, bytea, bytea
) SET lock_timeout = '1ms';

-- Heads are never deleted; a reference to them only changes what the refusal of a TRUNCATE says.
ALTER TABLE ledger.token_uses DROP CONSTRAINT token_uses_tenant_no_fkey;
