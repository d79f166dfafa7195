// How fast receipts get in, against a bare binary COPY of the very same rows into the same table and indexes.
// Ours parses, checks the canonical form, hashes, chains, builds the Merkle tree, signs, and keeps two read models
// (tenants and receipts_daily) in the same transactions; a second figure keeps the row-per-receipt model too.
import { execFile } from 'node:child_process';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { COPY_COLUMNS } from '#streams/postgres/rows.ts';
import { stopTestServers } from '#test/support/postgres.ts';
import { benchArguments, median, report, seconds } from './harness.ts';
import { type BenchLedger, benchLedger, catchUp, createTenant } from './ledger.ts';
import { receiptTexts } from './receipts.ts';

const run = promisify(execFile);
const TENANT = 'bench';
const TARGET = `ledger.facts (${COPY_COLUMNS})`;
const args = benchArguments({ runs: 3, size: 1_000_000 });

interface Import {
  readonly seconds: number;
  readonly recorded: number;
  readonly peakMiB: number;
  readonly inline: readonly string[];
}

const importOnce = async (ledger: BenchLedger, file: string, models: string): Promise<Import> => {
  const { stdout } = await run(process.execPath, [
    join(import.meta.dirname, 'import-once.ts'),
    ledger.url,
    TENANT,
    file,
    models,
  ]);
  const result = JSON.parse(stdout) as Import;
  if (result.recorded !== args.size || result.inline.length !== models.split(',').length)
    throw new Error(stdout);
  return result;
};

const fresh = async (): Promise<BenchLedger> => {
  const ledger = await benchLedger();
  await createTenant(ledger, TENANT);
  await catchUp(ledger);
  await ledger.owner.query('CHECKPOINT');
  return ledger;
};

const dump = async (ledger: BenchLedger, file: string): Promise<void> => {
  const client = await ledger.owner.connect();
  const query = `COPY (SELECT ${COPY_COLUMNS} FROM ledger.facts WHERE seq > 1 ORDER BY seq) TO STDOUT (FORMAT binary)`;
  await pipeline(client.query(copyTo(query)), createWriteStream(file));
  client.release();
};

const bareCopy = async (file: string): Promise<number> => {
  await using ledger = await fresh();
  const client = await ledger.owner.connect();
  const taken = await seconds(async () => {
    await pipeline(
      createReadStream(file, { highWaterMark: 1 << 20 }),
      client.query(copyFrom(`COPY ${TARGET} FROM STDIN (FORMAT binary)`)),
    );
  });
  client.release();
  return taken;
};

const sizes = async (
  ledger: BenchLedger,
): Promise<{ readonly bytesPerFact: number; readonly canonicalPerFact: number }> => {
  const { rows } = await ledger.owner.query<{ disk: number; canonical: number }>(
    `SELECT pg_total_relation_size('ledger.facts') / count(*)::float8 AS disk, avg(octet_length(payload) + 32)::float8 AS canonical FROM ledger.facts`,
  );
  const [row] = rows as [{ disk: number; canonical: number }];
  return { bytesPerFact: row.disk, canonicalPerFact: row.canonical };
};

const folder = await mkdtemp(join(tmpdir(), 'prov-ledger-bench-'));
const input = join(folder, 'receipts.ndjson');
const rowsFile = join(folder, 'rows.bin');
const ours: number[] = [];
const withRows: number[] = [];
const bare: number[] = [];
let peakMiB = 0;
let disk = { bytesPerFact: 0, canonicalPerFact: 0 };
try {
  const lines = function* () {
    for (const text of receiptTexts({ tenant: TENANT, count: args.size })) yield `${text}\n`;
  };
  await pipeline(Readable.from(lines()), createWriteStream(input));
  for (let round = 0; round < args.runs; round += 1) {
    {
      await using ledger = await fresh();
      const result = await importOnce(ledger, input, 'tenants,receipts_daily');
      ours.push(result.seconds);
      peakMiB = Math.max(peakMiB, result.peakMiB);
      if (round === 0) {
        await dump(ledger, rowsFile);
        disk = await sizes(ledger);
      }
    }
    bare.push(await bareCopy(rowsFile));
    await using ledger = await fresh();
    withRows.push((await importOnce(ledger, input, 'tenants,receipts_daily,receipts')).seconds);
  }
} finally {
  await rm(folder, { recursive: true });
  await stopTestServers();
}
const yardstick = 'a bare binary COPY of the same rows into the same table and indexes';
report(
  [
    {
      name: 'import.disk',
      ratio: disk.canonicalPerFact / disk.bytesPerFact,
      goal: 1 / 1.4,
      yardstick: 'canonical bytes + hash, per fact',
      runs: 1,
      figures: {
        'bytes per fact, heap and indexes': disk.bytesPerFact,
        'canonical bytes + hash': disk.canonicalPerFact,
        'bytes over canonical': disk.bytesPerFact / disk.canonicalPerFact,
      },
    },
    {
      name: 'import',
      ratio: median(bare) / median(ours),
      goal: 0.8,
      yardstick,
      runs: args.runs,
      figures: {
        facts: args.size,
        'facts/s': args.size / median(ours),
        'facts/s, bare COPY': args.size / median(bare),
        'peak memory, MiB': peakMiB,
        'facts/s with the row-per-receipt model': args.size / median(withRows),
        'ratio with the row-per-receipt model': median(bare) / median(withRows),
      },
    },
  ],
  args.json,
);
