// How fast a whole chain is verified (every payload hash, every link, every commit batch's Merkle root and signature),
// against reading the same rows by COPY on one connection and parsing their JSON, and nothing else.
import { Readable } from 'node:stream';
import { importReceipts } from '#gateway/ingest/import.ts';
import { tenantId } from '#schemas/ids.ts';
import { copyOut } from '#streams/postgres/copy.ts';
import { verifyStoredChain } from '#streams/postgres/verify/chain.ts';
import { stopTestServers } from '#test/support/postgres.ts';
import { benchArguments, median, report, seconds } from './harness.ts';
import { type BenchLedger, benchLedger, createTenant } from './ledger.ts';
import { receiptLines } from './receipts.ts';

const TENANT = tenantId('bench');
const args = benchArguments({ runs: 3, size: 1_000_000 });

const load = async (ledger: BenchLedger): Promise<void> => {
  const { pool, store, keys } = ledger;
  await importReceipts({
    pool,
    ledgerId: store.ledgerId,
    signer: keys.signer,
    tenant: TENANT,
    source: Readable.from(receiptLines({ tenant: TENANT, count: args.size })),
  });
  await ledger.owner.query('VACUUM ANALYZE ledger.facts');
};

const verify = async ({ pool, url, store, keys }: BenchLedger): Promise<void> => {
  const result = await verifyStoredChain({
    pool,
    url,
    ledgerId: store.ledgerId,
    tenant: TENANT,
    keys: keys.keys,
  });
  if (!result || result.fault || result.facts !== args.size + 1) throw new Error(JSON.stringify(result));
};

/** The payload is the only column that needs parsing; its length stands in front of it. */
const readAndParse = async ({ pool }: BenchLedger): Promise<void> => {
  const client = await pool.connect();
  let parsed = 0;
  for await (const { bytes, rows } of copyOut(
    client,
    'SELECT payload, seq, id, hash, recorded_at FROM ledger.facts ORDER BY tenant_no, seq',
  )) {
    for (const at of rows) {
      const length = bytes.readInt32BE(at);
      if (typeof JSON.parse(bytes.toString('utf8', at + 4, at + 4 + length)) === 'object') parsed += 1;
    }
  }
  client.release();
  if (parsed !== args.size + 1) throw new Error(`read ${parsed}`);
};

const ours: number[] = [];
const bare: number[] = [];
try {
  await using ledger = await benchLedger();
  await createTenant(ledger, TENANT);
  await load(ledger);
  for (let round = 0; round < args.runs; round += 1) {
    ours.push(await seconds(() => verify(ledger)));
    bare.push(await seconds(() => readAndParse(ledger)));
  }
} finally {
  await stopTestServers();
}
report(
  [
    {
      name: 'verify',
      ratio: median(bare) / median(ours),
      goal: 0.6,
      yardstick: 'COPY out + JSON.parse of the same rows',
      runs: args.runs,
      figures: {
        facts: args.size,
        'facts/s': args.size / median(ours),
        'facts/s, COPY out + JSON.parse': args.size / median(bare),
      },
    },
  ],
  args.json,
);
