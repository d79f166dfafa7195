// How fast read models are folded.
//
//   project.rebuild   a whole rebuild of receipts_daily, proved by digest, against INSERT … SELECT … GROUP BY from a jsonb
//                     copy of the same history in the same server
//   project.emmett    the same rebuild against Emmett's rebuild of a projection over the same receipts (a part of them)
//   project.catch-up  the live runner on receipts_daily from the first fact to the last
//   project.beside    p95 of 2,000 appends a second beside rebuilds, against the same without
//
// npm run bench:project [-- --size 200000 --runs 1 --only rebuild]
import { execFile } from 'node:child_process';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import type { Event } from '@event-driven-io/emmett';
import {
  getPostgreSQLEventStore,
  pongoMultiStreamProjection,
  rebuildPostgreSQLProjections,
} from '@event-driven-io/emmett-postgresql';
import { importReceipts } from '#gateway/ingest/import.ts';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { receiptsDaily } from '#projectors/receipts.ts';
import { runProjectors } from '#projectors/run.ts';
import { type TenantId, tenantId } from '#schemas/ids.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { freshDatabase, stopTestServers } from '#test/support/postgres.ts';
import { draftOf } from './drafts.ts';
import { type BenchResult, benchArguments, median, quantile, report, seconds } from './harness.ts';
import { type BenchLedger, benchLedger, createTenant } from './ledger.ts';
import type { RebuildOnce } from './rebuild-once.ts';
import { receiptTexts } from './receipts.ts';

const run = promisify(execFile);
const TENANT: TenantId = tenantId('bench');
const args = benchArguments({ runs: 3, size: 1_000_000 });
/** Emmett takes a minute for what the others do in a second. */
const EMMETT_FACTS = Math.min(args.size, 5_000);
const APPENDS_A_SECOND = 2_000;
const APPEND_SECONDS = 5;

const receiptsIn = function* (count: number): Generator<string> {
  for (const text of receiptTexts({ tenant: TENANT, count })) yield `${text}\n`;
};

/** A ledger with the whole history, and read models that have seen none of it. */
const filled = async (): Promise<BenchLedger> => {
  const ledger = await benchLedger();
  await createTenant(ledger, TENANT);
  const folder = await mkdtemp(join(tmpdir(), 'prov-ledger-bench-'));
  const file = join(folder, 'receipts.ndjson');
  await pipeline(Readable.from(receiptsIn(args.size)), createWriteStream(file));
  await importReceipts({
    pool: ledger.pool,
    ledgerId: ledger.store.ledgerId,
    signer: ledger.keys.signer,
    tenant: TENANT,
    source: createReadStream(file, { highWaterMark: 1 << 20 }),
    inline: [],
  });
  await rm(folder, { recursive: true });
  await ledger.owner.query('VACUUM ANALYZE ledger.facts');
  await ledger.owner.query('CHECKPOINT');
  return ledger;
};

const rebuildOnce = async ({ url }: BenchLedger): Promise<RebuildOnce> => {
  const program = join(import.meta.dirname, 'rebuild-once.ts');
  const { stdout } = await run(process.execPath, [program, url, receiptsDaily.name]);
  return JSON.parse(stdout) as RebuildOnce;
};

const COPY = `CREATE TABLE public.history AS SELECT f.seq, f.occurred_at, convert_from(f.payload, 'UTF8')::jsonb AS payload FROM ledger.facts f WHERE f.type = 'receipts.ReceiptRecorded'`;
const COUNTED = `CREATE TABLE public.daily (day date, action text, decision text, receipts bigint, first_at timestamptz, last_at timestamptz, last_seq bigint, PRIMARY KEY (day, action, decision))`;
const COUNT = `INSERT INTO public.daily SELECT (occurred_at AT TIME ZONE 'UTC')::date, payload->>'action', payload->>'decision', count(*),
  min((payload->>'created_at')::timestamptz), max((payload->>'created_at')::timestamptz), max(seq) FROM public.history GROUP BY 1, 2, 3`;

const groupBy = async ({ owner }: BenchLedger): Promise<number> => {
  await owner.query('TRUNCATE public.daily');
  return await seconds(() => owner.query(COUNT));
};

const rebuilt = async (ledger: BenchLedger): Promise<BenchResult> => {
  const column = await ledger.owner.query<{ type: string }>(
    `SELECT format_type(atttypid, -1) AS type FROM pg_attribute WHERE attrelid = 'ledger.facts'::regclass AND attname = 'payload'`,
  );
  await ledger.owner.query(
    column.rows[0]?.type === 'text' ? COPY.replace(/convert_from\((\S+), 'UTF8'\)/, '$1') : COPY,
  );
  await ledger.owner.query(COUNTED);
  await ledger.owner.query('ANALYZE public.history');
  const [ours, theirs]: [RebuildOnce[], number[]] = [[], []];
  for (let round = 0; round < args.runs; round += 1) {
    theirs.push(await groupBy(ledger));
    ours.push(await rebuildOnce(ledger));
  }
  const [mine, yours] = [median(ours.map((each) => each.seconds)), median(theirs)];
  const phases = ours.at(-1)?.phases ?? {};
  return {
    name: 'project.rebuild',
    ratio: yours / mine,
    goal: 1.2,
    yardstick: 'INSERT … SELECT … GROUP BY from a jsonb copy of the same history',
    runs: args.runs,
    figures: {
      facts: args.size,
      'facts/s': args.size / mine,
      'facts/s, GROUP BY': args.size / yours,
      'peak memory, MiB': Math.max(...ours.map(({ peakMiB }) => peakMiB)),
      ...Object.fromEntries(Object.entries(phases).map(([name, took]) => [`s ${name}`, took])),
    },
  };
};

type Daily = { readonly receipts: number; readonly last: string };
type ReceiptRecorded = Event<'ReceiptRecorded', Receipt>;
type Receipt = { readonly action: string; readonly decision: string; readonly created_at: string };

const emmett = async (ledger: BenchLedger): Promise<BenchResult> => {
  await using database = await freshDatabase({ durable: true });
  const projection = pongoMultiStreamProjection<Daily, ReceiptRecorded>({
    collectionName: 'daily',
    getDocumentId: ({ data }) => `${data.created_at.slice(0, 10)} ${data.action} ${data.decision}`,
    evolve: (state: Daily | null, { data }: ReceiptRecorded): Daily => ({
      receipts: (state?.receipts ?? 0) + 1,
      last: data.created_at,
    }),
    canHandle: ['ReceiptRecorded'],
  });
  const store = getPostgreSQLEventStore(database.url);
  let took = 0;
  try {
    await store.schema.migrate();
    const events = [...receiptTexts({ tenant: TENANT, count: EMMETT_FACTS })].map((text) => ({
      type: 'ReceiptRecorded' as const,
      data: JSON.parse(text) as Receipt,
    }));
    for (let from = 0; from < events.length; from += 100)
      await store.appendToStream(`receipts-${from}`, events.slice(from, from + 100));
    const consumer = rebuildPostgreSQLProjections({
      connectionString: database.url,
      projection: projection as never,
    });
    took = await seconds(() => consumer.start());
    await consumer.close();
  } finally {
    await store.close();
  }
  const ours = await rebuildOnce(ledger);
  const [mine, theirs] = [args.size / ours.seconds, EMMETT_FACTS / took];
  return {
    name: 'project.emmett',
    ratio: mine / theirs,
    goal: 100,
    yardstick: "Emmett's rebuild of a projection over the same receipts",
    runs: 1,
    figures: { 'facts/s': mine, 'facts/s, Emmett': theirs, 'facts, Emmett': EMMETT_FACTS },
  };
};

const caughtUp = async (ledger: BenchLedger): Promise<BenchResult> => {
  const { pool } = ledger;
  await using feed = postgresStreamFeed({ pool, pollOnly: true });
  const took = await seconds(() =>
    runProjectors({
      feed,
      sink: postgresRowSink({ pool }),
      projectors: [receiptsDaily],
      signal: new AbortController().signal,
      untilCaughtUp: true,
      // More at once live long enough for the garbage collector to move them: 16.2 instead of 13.7 µs of CPU a fact.
      batchSize: 5_000,
    }),
  );
  return {
    name: 'project.catch-up',
    ratio: args.size / took / 150_000,
    goal: 1,
    yardstick: '150,000 facts/s',
    runs: 1,
    figures: { 'facts/s': args.size / took },
  };
};

/** p95 in ms of appends from their scheduled moments. */
const appendP95 = async ({ store }: BenchLedger, texts: Generator<string>): Promise<number> => {
  const count = APPENDS_A_SECOND * APPEND_SECONDS;
  const drafts = Array.from({ length: count }, () => draftOf(texts.next().value as string));
  const latencies: number[] = [];
  const pending: Promise<unknown>[] = [];
  const start = performance.now();
  while (pending.length < count) {
    const due = Math.min(count, Math.floor(((performance.now() - start) / 1_000) * APPENDS_A_SECOND));
    while (pending.length < due) {
      const scheduled = start + (pending.length / APPENDS_A_SECOND) * 1_000;
      const draft = drafts[pending.length] as ReturnType<typeof draftOf>;
      pending.push(
        store
          .append({ tenant: TENANT, drafts: [draft], expect: { kind: 'any' } })
          .then(() => latencies.push(performance.now() - scheduled)),
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(pending);
  return quantile(latencies.slice(latencies.length / 5), 0.95);
};

const beside = async (ledger: BenchLedger): Promise<BenchResult> => {
  const texts = receiptTexts({ tenant: TENANT, count: Number.MAX_SAFE_INTEGER, seed: 2 });
  const alone: number[] = [];
  const withRebuild: number[] = [];
  for (let round = 0; round < args.runs; round += 1) {
    alone.push(await appendP95(ledger, texts));
    let over = false;
    const rebuilding = (async () => {
      while (!over) await rebuildOnce(ledger);
    })();
    withRebuild.push(await appendP95(ledger, texts));
    over = true;
    await rebuilding;
  }
  return {
    name: 'project.beside',
    ratio: median(alone) / median(withRebuild),
    goal: 1 / 1.25,
    yardstick: 'the p95 of 2,000 appends a second without a rebuild',
    runs: args.runs,
    figures: { 'p95 ms': median(withRebuild), 'p95 ms, without': median(alone) },
  };
};

const parts = { 'catch-up': caughtUp, rebuild: rebuilt, emmett, beside };
try {
  await using ledger = await filled();
  const results: BenchResult[] = [];
  for (const [name, part] of Object.entries(parts))
    if (args.only === undefined || args.only === name) results.push(await part(ledger));
  report(results, args.json);
} finally {
  await stopTestServers();
}
