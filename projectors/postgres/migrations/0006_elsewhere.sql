-- A tenant that moved to another server of the ledger has its head there: what is known of it here is of before the move.
GRANT SELECT (standing) ON ledger.heads TO prov_ledger_views;
CREATE OR REPLACE VIEW views.projection_status AS
SELECT h.tenant, m.projection, m.version,
       coalesce(c.seq, 0) AS as_of_seq,
       CASE WHEN c.seq > 0 THEN c.recorded_at END AS as_of,
       h.seq AS head_seq,
       h.seq - coalesce(c.seq, 0) AS lag_facts,
       CASE WHEN h.seq <= coalesce(c.seq, 0) THEN 0
            WHEN c.seq > 0 THEN round(extract(epoch FROM h.recorded_at - c.recorded_at), 3) END AS lag_seconds,
       CASE WHEN c.status = 'halted' THEN 'halted'
            WHEN h.seq IS NULL THEN 'elsewhere'
            WHEN h.seq < coalesce(c.seq, 0) THEN 'ahead of ledger'
            WHEN m.paused_at IS NOT NULL THEN 'paused'
            WHEN h.seq = coalesce(c.seq, 0) THEN 'current'
            ELSE 'behind' END AS state,
       c.updated_at, c.fault_seq, c.fault_id, c.fault_message, c.fault_at,
       m.live_build AS build, m.shown
FROM (SELECT tenant,
             CASE WHEN standing IN ('here', 'leaving') THEN seq END AS seq,
             CASE WHEN standing IN ('here', 'leaving') THEN recorded_at END AS recorded_at FROM ledger.heads) h
CROSS JOIN projections.read_models m
LEFT JOIN projections.checkpoints c
  ON c.projection = m.projection AND c.version = m.version AND c.build = m.live_build AND c.tenant = h.tenant;
COMMENT ON COLUMN views.projection_status.head_seq IS 'Place of the tenant''s last recorded fact; NULL while the tenant is on another server.';
COMMENT ON COLUMN views.projection_status.lag_facts IS 'Facts recorded and not yet in the read model; below 0 when the ledger lost facts that had been read; NULL while the tenant is on another server.';
COMMENT ON COLUMN views.projection_status.state IS 'current, behind, paused (nobody keeps it, on somebody''s word), halted (stopped at a fact it cannot take; the fault columns say why), elsewhere (the tenant is on another server, which has its head: prov-ledger projections status asks it), or ahead of ledger (the ledger was restored to an older state).';

CREATE OR REPLACE VIEW views.snapshots AS
SELECT p.tenant, s.name, 'as_of_' || s.name AS schema, p.seq AS as_of_seq, p.recorded_at AS as_of,
       encode(p.hash, 'hex') AS as_of_hash, h.seq - p.seq AS facts_since, s.created_at
FROM projections.snapshots s
JOIN projections.snapshot_positions p USING (name)
LEFT JOIN ledger.heads h ON h.tenant = p.tenant AND h.standing IN ('here', 'leaving')
WHERE s.proved_at IS NOT NULL;
COMMENT ON COLUMN views.snapshots.facts_since IS 'Facts recorded after the position; NULL while the tenant is on another server.';
