// The image's health check: the process answers on its operators' address, which is plain HTTP whatever callers meet.
// Health and not readiness: a restart does not bring a database back.

const port = process.env.PROV_LEDGER_OPERATORS_PORT || '7177';
const answer = await fetch(`http://127.0.0.1:${port}/healthz`, { signal: AbortSignal.timeout(4_000) }).catch(
  (error) => console.error(`no answer on port ${port}: ${error.cause?.message ?? error.message}`),
);
process.exitCode = answer?.ok ? 0 : 1;
