// How fast a history is replayed with every proof (hashes, links, Merkle roots; of the store batch roots and signatures)
// and every read model folded and digested: from the store, and straight from the file, against reading the same rows by
// COPY on one connection and parsing their JSON on one thread, and nothing else.
import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { writeWhole } from '#gateway/cli/whole-file.ts';
import { lineChunks } from '#gateway/ingest/chunks.ts';
import { projectors } from '#projectors/index.ts';
import { generateFixture } from '#replay-harness/fixtures/generate.ts';
import { loadFixture } from '#replay-harness/load.ts';
import type { Measured } from '#replay-harness/measures.ts';
import { copyOut } from '#streams/postgres/copy.ts';
import { stopTestServers } from '#test/support/postgres.ts';
import { benchArguments, median, report, seconds } from './harness.ts';
import { type BenchLedger, benchLedger } from './ledger.ts';

const run = promisify(execFile);
const args = benchArguments({ runs: 3, size: 1_000_000 });
const folder = await mkdtemp(join(tmpdir(), 'prov-ledger-bench-'));
const fixture = join(folder, 'fixture.ndjson');

const load = async (ledger: BenchLedger): Promise<number> => {
  const { pool, store, keys, owner } = ledger;
  await writeWhole(fixture, generateFixture({ events: args.size, seed: 7, tenants: 3, projectors, folder }));
  const pieces = lineChunks(createReadStream(fixture, { highWaterMark: 1 << 20 }), { chunkBytes: 1 << 20 });
  const expected = await loadFixture({ pool, store, signer: keys.signer, pieces });
  if (!expected) throw new Error('the fixture has no end');
  await owner.query('VACUUM ANALYZE ledger.facts');
  return expected.facts;
};

/** In a process of its own, so that its memory is its own. */
const replayOnce = async (source: readonly string[], facts: number): Promise<Measured> => {
  const { stdout } = await run(process.execPath, [join(import.meta.dirname, 'replay-once.ts'), ...source], {
    maxBuffer: 1 << 24,
  });
  const measured = JSON.parse(stdout) as Measured;
  if (measured.facts !== facts) throw new Error(stdout);
  return measured;
};

/** The payload is the only column that needs parsing; its length stands in front of it. */
const readAndParse = async ({ pool }: BenchLedger, facts: number): Promise<void> => {
  const client = await pool.connect();
  let parsed = 0;
  const query =
    'SELECT payload, seq, id, hash, recorded_at, occurred_at, type FROM ledger.facts ORDER BY tenant_no, seq';
  for await (const { bytes, rows } of copyOut(client, query)) {
    for (const at of rows) {
      const length = bytes.readInt32BE(at);
      if (typeof JSON.parse(bytes.toString('utf8', at + 4, at + 4 + length)) === 'object') parsed += 1;
    }
  }
  client.release();
  if (parsed !== facts) throw new Error(`read ${parsed}`);
};

const stored: Measured[] = [];
const file: Measured[] = [];
const bare: number[] = [];
let facts = 0;
try {
  await using ledger = await benchLedger();
  facts = await load(ledger);
  const keys = JSON.stringify(ledger.keys.keys.map(({ publicJwk }) => publicJwk));
  for (let round = 0; round < args.runs; round += 1) {
    stored.push(await replayOnce(['stored', ledger.url, ledger.store.ledgerId, keys], facts));
    bare.push(await seconds(() => readAndParse(ledger, facts)));
    file.push(await replayOnce(['file', fixture], facts));
  }
} finally {
  await rm(folder, { recursive: true });
  await stopTestServers();
}

const yardstick = 'COPY out + JSON.parse of the same rows on one thread';
const middle = (runs: readonly Measured[]): Measured => {
  const wanted = median(runs.map((each) => each.seconds));
  return runs.reduce((a, b) => (Math.abs(b.seconds - wanted) < Math.abs(a.seconds - wanted) ? b : a));
};
const result = (name: string, runs: readonly Measured[], goal: number) => {
  const { factsPerSecond, peakMiB, cpuSeconds, stages, seconds: taken } = middle(runs);
  return {
    name,
    ratio: median(bare) / taken,
    goal,
    yardstick,
    runs: args.runs,
    figures: {
      facts,
      'facts/s': factsPerSecond,
      'facts/s, COPY out + JSON.parse': facts / median(bare),
      'peak memory, MiB': peakMiB,
      'CPU seconds': cpuSeconds.user + cpuSeconds.system,
      ...stages,
    },
  };
};
report(
  [
    result('replay.stored', stored, args.size > 2_000_000 ? 0.6 : 0.7),
    result('replay.file', file, args.size > 2_000_000 ? 0.6 : 0.7),
  ],
  args.json,
);
