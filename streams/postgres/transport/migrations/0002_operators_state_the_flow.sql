-- The chain that states the flow is that of the tenant operators; there was to be another one, which was never made.
COMMENT ON COLUMN transport.flow.stated_seq IS 'The fact in the chain "operators" that states this row as it is now; NULL when there is none.';
COMMENT ON COLUMN views.message_flow.stated_seq IS 'Place in the chain of the tenant operators of the fact that states this row; NULL while there is none.';
