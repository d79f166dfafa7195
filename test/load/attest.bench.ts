// What attestation costs, and how little it reads to find one difference. Needs a Neo4j (docs/operations/graph.md).
//
//   attest.append    p95 of appends at a steady rate while tables and graph are compared once a minute, against the same
//                    with both kept and not compared; --size: seconds of each run
//   attest.compare   one value changed among all elements of both stores: what is read again to locate it, against a
//                    thousandth of them; --size: edges (220,000 unless told; 1M with `--only compare --size 950000`)
//   attest.coverage  the report of a day, as the timer makes it at night, against five minutes; --size: receipts of the
//                    day (1,000,000 unless told)
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { startDevNeo4j } from '#deploy/dev/neo4j.ts';
import { graphParts } from '#deploy/dev/parts.ts';
import { keepGraph } from '#deploy/processes/keepers/graph-keeper.ts';
import { importReceipts } from '#gateway/ingest/import.ts';
import { projectors } from '#projectors/index.ts';
import { connectGraph } from '#projectors/neo4j/connect.ts';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { runProjectors } from '#projectors/run.ts';
import type { Draft } from '#schemas/event.ts';
import type { Instant, TenantId } from '#schemas/ids.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { run } from '#test/deploy/processes/program.ts';
import { mutationsAt, named, type Pair } from '#test/faults/drift.ts';
import { openDriftSite } from '#test/faults/drift-site.ts';
import { stopTestServers } from '#test/support/postgres.ts';
import { draftOf } from './drafts.ts';
import { type BenchResult, benchArguments, median, quantile, report, seconds } from './harness.ts';
import { type BenchLedger, benchLedger, createTenant } from './ledger.ts';
import { receiptLines, receiptTexts } from './receipts.ts';

const args = benchArguments({ runs: 3, size: 0 });
const TENANT = 'bench' as TenantId;
const RATE = 300;
const CYCLE_SECONDS = 60;
const LOOKS_SECONDS = args.size || 30;

const drafts = (function* (): Generator<Draft> {
  for (const text of receiptTexts({ tenant: TENANT, count: Number.MAX_SAFE_INTEGER })) yield draftOf(text);
})();

/** p95 in ms from the scheduled arrival, without the first fifth. */
const openLoop = async ({ store }: BenchLedger): Promise<number> => {
  const count = RATE * LOOKS_SECONDS;
  const latencies: number[] = [];
  const pending: Promise<unknown>[] = [];
  const start = performance.now();
  for (let sent = 0; sent < count; ) {
    const due = Math.min(count, Math.floor(((performance.now() - start) / 1_000) * RATE));
    for (; sent < due; sent += 1) {
      const scheduled = start + (sent / RATE) * 1_000;
      const request = {
        tenant: TENANT,
        drafts: [drafts.next().value as Draft],
        expect: { kind: 'any' },
      } as const;
      pending.push(store.append(request).then(() => latencies.push(performance.now() - scheduled)));
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(pending);
  return quantile(latencies.slice(latencies.length / 5), 0.95);
};

/** A process that keeps tables and graph, as a service does; it compares them or not. */
const p95 = async (ledger: BenchLedger, url: string, compares: boolean): Promise<number> => {
  const { pool, store } = ledger;
  await using graph = connectGraph({ url });
  await using feed = postgresStreamFeed({ pool });
  const ending = new AbortController();
  const tables = runProjectors({ feed, sink: postgresRowSink({ pool }), projectors, signal: ending.signal });
  try {
    await using _kept = keepGraph({
      ledger: { pool, store, feed } as never,
      graph,
      log: () => undefined,
      project: true,
      attestSeconds: compares ? CYCLE_SECONDS : 0,
    });
    return await openLoop(ledger);
  } finally {
    ending.abort();
    await tables;
  }
};

const appendResult = async (url: string): Promise<BenchResult> => {
  await using ledger = await benchLedger();
  await createTenant(ledger, TENANT);
  const rounds: { readonly off: number; readonly on: number }[] = [];
  // The first round warms connections, plans and code, and gives the comparison something to read.
  for (let round = 0; round <= args.runs; round += 1)
    rounds.push({ off: await p95(ledger, url, false), on: await p95(ledger, url, true) });
  const [off, on] = (['off', 'on'] as const).map((which) =>
    median(rounds.slice(1).map((each) => each[which])),
  );
  return {
    name: 'attest.append',
    ratio: (off as number) / (on as number),
    goal: 0.91,
    yardstick: `p95 without comparison, ${RATE} appends/s, tables and graph kept`,
    runs: args.runs,
    figures: {
      'p95 ms, compared once a minute': on as number,
      'p95 ms, not compared': off as number,
      'facts in the end': (await ledger.store.head(TENANT))?.seq ?? 0,
    },
  };
};

const compareResult = async (url: string): Promise<BenchResult> => {
  const edges = args.size || 220_000;
  await using site = await openDriftSite(url, { edges, people: Math.ceil(edges / 20) });
  const [pair, other] = [site.pairs[edges >> 1], site.pairs[edges >> 2]] as [Pair, Pair];
  const edit = mutationsAt(site, pair, other).find(({ kind }) => kind === 'property edit');
  await edit?.apply();
  let found = await site.attest();
  const took = await seconds(async () => {
    found = await site.attest();
  });
  const wanted = edit?.expected.join();
  if (found.differences.map(named).join() !== wanted) throw new Error(`not located: ${wanted}`);
  const again = found.read - 2 * found.elements;
  return {
    name: 'attest.compare',
    ratio: (found.elements * 0.001) / again,
    goal: 1,
    yardstick: 'a thousandth of the elements',
    runs: 1,
    figures: {
      'elements of each store': found.elements,
      'read to compare all of both': 2 * found.elements,
      'read again to locate one difference': again,
      's, all of it': took,
    },
  };
};

const YESTERDAY = Date.now() - 86_400_000;

const coverageResult = async (): Promise<BenchResult> => {
  const count = args.size || 1_000_000;
  await using ledger = await benchLedger({ clock: () => YESTERDAY as Instant });
  const { pool, store, keys, url } = ledger;
  await createTenant(ledger, TENANT);
  await importReceipts({
    pool,
    ledgerId: store.ledgerId,
    signer: keys.signer,
    tenant: TENANT,
    source: Readable.from(receiptLines({ tenant: TENANT, count })),
    clock: () => YESTERDAY,
  });
  const told = { facts: 0 };
  const took = await seconds(async () => {
    const given = ['coverage', 'report', '--json', '--out', folder];
    const { code, stdout, stderr } = await run('cli.ts', given, { env: { DATABASE_URL: url } });
    if (code !== 0) throw new Error(stderr);
    const { tenants } = JSON.parse(stdout) as { readonly tenants: readonly { readonly facts: number }[] };
    told.facts = tenants.reduce((sum, { facts }) => sum + facts, 0);
  });
  if (told.facts < count) throw new Error(`${told.facts} of ${count} facts are in the report`);
  return {
    name: 'attest.coverage',
    ratio: 300 / took,
    goal: 1,
    yardstick: 'five minutes',
    runs: 1,
    figures: { 'facts of the day': told.facts, s: took },
  };
};

const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-attest-'));
try {
  await using neo4j = await startDevNeo4j({ parts: await graphParts(), dataDir: folder });
  const results: BenchResult[] = [];
  const parts = { append: appendResult, compare: compareResult, coverage: coverageResult };
  for (const [name, measure] of Object.entries(parts))
    if (args.only === undefined || args.only === name) results.push(await measure(neo4j.url));
  report(results, args.json);
} finally {
  await stopTestServers();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
