// A worker on the ledger that its first argument names, with the lease of its second, in milliseconds; says how many slots
// it holds whenever that changes. SIGTERM ends it.
import { runWorker } from '#projectors/postgres/workers/worker.ts';
import { connect, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { both, decode } from '../tally.ts';

const [url = '', leaseMs = '1000'] = process.argv.slice(2);
const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
const pool = connect({ url, max: 6, role: RUNTIME_ROLE });
await runWorker({
  pool,
  feedOf: (only) => postgresStreamFeed({ pool, pollMs: 50, only }),
  projectors: both,
  decode,
  signal: stop.signal,
  leaseMs: Number(leaseMs),
  batchSize: 20,
  onSlots: (held) => console.log(`slots ${held}`),
});
await pool.end();
