-- When a token last let somebody in. Beside the ledger, not of it: neither hashed nor signed, written now and then, and
-- no decision rests on it.
CREATE TABLE ledger.token_uses (
  tenant_no integer NOT NULL REFERENCES ledger.heads (tenant_no),
  token_id text NOT NULL,
  last_used_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_no, token_id)
-- Room in each page, so that an update stays in it and touches no index.
) WITH (fillfactor = 60);
GRANT SELECT, INSERT, UPDATE (last_used_at) ON ledger.token_uses TO prov_ledger_runtime;
