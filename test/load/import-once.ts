// One import in a process of its own, so that its peak memory is its own. Arguments: URL, tenant, file, read models.
import { createReadStream } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { importReceipts } from '#gateway/ingest/import.ts';
import { projectors } from '#projectors/index.ts';
import { localKeys } from '#proofs/keys/local.ts';
import { tenantId } from '#schemas/ids.ts';
import { connect, RUNTIME_ROLE } from '#streams/postgres/connect.ts';

const [url, tenant, file, models] = process.argv.slice(2) as [string, string, string, string];
const { signer } = await localKeys({ folder: await mkdtemp(join(tmpdir(), 'prov-ledger-bench-')) });
const pool = connect({ url, role: RUNTIME_ROLE });
const { rows } = await pool.query<{ id: string }>('SELECT id FROM ledger.identity');
const start = performance.now();
const summary = await importReceipts({
  pool,
  ledgerId: rows[0]?.id ?? '',
  signer,
  tenant: tenantId(tenant),
  source: createReadStream(file, { highWaterMark: 1 << 20 }),
  inline: projectors.filter(({ name }) => models.split(',').includes(name)),
  onFault: (fault) => console.error(fault),
});
const seconds = (performance.now() - start) / 1_000;
await pool.end();
console.log(JSON.stringify({ ...summary, seconds, peakMiB: process.resourceUsage().maxRSS / 1_024 }));
