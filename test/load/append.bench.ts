// How fast durable appends are in process, against one INSERT per commit of the same rows into the same table.
//
//   append.closed    64 callers, each waiting for its answer
//   append.open      the highest rate at which p99 stays within 25 ms, counted from the scheduled arrival
//   append.slow-sync the same with 5 ms added to each fdatasync (a C compiler is needed to build the shim)
//   append.tenants   64 callers over 1,000 tenants, against the same over one
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GENESIS_HASH, seal } from '#proofs/chain.ts';
import type { Draft } from '#schemas/event.ts';
import type { Instant, Seq, TenantId } from '#schemas/ids.ts';
import { connect, type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { stopTestServers } from '#test/support/postgres.ts';
import { draftOf } from './drafts.ts';
import { type BenchResult, benchArguments, median, quantile, report } from './harness.ts';
import { type BenchLedger, benchLedger, createTenant } from './ledger.ts';
import { receiptTexts } from './receipts.ts';

const CALLERS = 64;
const P99_MS = 25;
const args = benchArguments({ runs: 3, size: 2 });
const SECONDS = args.size;
const YARDSTICK = 'one INSERT per commit of the same rows';
/** Of the yardstick: as many as the driver opens unless told. Where each sync is slow, more of them would do more. */
const YARDSTICK_CONNECTIONS = Number(process.env['BENCH_YARDSTICK_CONNECTIONS'] ?? 10);

type Append = (draft: Draft, index: number) => Promise<unknown>;

/** Drafts that never run out and never repeat: one generator for the whole benchmark. */
const drafts = (function* (): Generator<Draft> {
  for (const text of receiptTexts({ tenant: 'bench', count: Number.MAX_SAFE_INTEGER })) yield draftOf(text);
})();
const pile: Draft[] = [];
const stock = (count: number): void => {
  while (pile.length < count) pile.push(drafts.next().value as Draft);
};

const closedLoop = async (append: Append, callers: number): Promise<number> => {
  stock(40_000 * SECONDS);
  const end = performance.now() + SECONDS * 1_000;
  let done = 0;
  const caller = async (): Promise<void> => {
    while (performance.now() < end) await append(pile.pop() ?? draftOf(''), done++);
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: callers }, caller));
  return (done / (performance.now() - start)) * 1_000;
};

/** p99 in ms from the scheduled arrival; Infinity when the backlog shows that the rate is out of reach. */
const openLoop = async (append: Append, rate: number): Promise<number> => {
  const count = Math.ceil(rate * SECONDS);
  stock(count);
  const latencies: number[] = [];
  const pending: Promise<unknown>[] = [];
  const start = performance.now();
  let sent = 0;
  let failed = false;
  while (sent < count && !failed) {
    const due = Math.min(count, Math.floor(((performance.now() - start) / 1_000) * rate));
    for (; sent < due; sent += 1) {
      const scheduled = start + (sent / rate) * 1_000;
      pending.push(
        append(pile.pop() as Draft, sent).then(() => latencies.push(performance.now() - scheduled)),
      );
    }
    failed = sent - latencies.length > rate;
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(pending);
  // The first fifth warms connections, plans and code.
  return failed ? Number.POSITIVE_INFINITY : quantile(latencies.slice(latencies.length / 5), 0.99);
};

/**
 * The highest rate of a ladder of 15 % steps that holds the bound. A stall of the machine fails a rung at any rate, so
 * only two rungs failed in a row end the climb.
 */
const heldRate = async (append: Append, from: number): Promise<number> => {
  let held = 0;
  for (let rate = from, failed = 0; failed < 2; rate *= 1.15) {
    const holds = (await openLoop(append, rate)) <= P99_MS;
    if (holds) held = rate;
    failed = holds ? 0 : failed + 1;
  }
  return held > 0 || from < 50 ? held : await heldRate(append, from / 2);
};

const ours =
  (ledger: BenchLedger, tenants: readonly string[]): Append =>
  async (draft, index) => {
    const tenant = tenants[index % tenants.length] as TenantId;
    const result = await ledger.store.append({ tenant, drafts: [draft], expect: { kind: 'any' } });
    if (result.kind !== 'appended') throw new Error(result.kind);
  };

let nextSeq = 1_000_000_000;

const INSERT = `INSERT INTO ledger.facts (tenant_no, seq, batch_no, recorded_at, occurred_at, schema_version, id, hash, type, payload)
  VALUES (1, $1, 0, $2, $3, $4, $5, $6, $7, $8)`;

const insertPerCommit =
  (pool: Pool): Append =>
  async (draft) => {
    const seq = nextSeq++ as Seq;
    const fact = seal(draft, {
      tenant: 'bench' as TenantId,
      seq,
      prevHash: GENESIS_HASH,
      recordedAt: Date.now() as Instant,
    });
    await pool.query({
      name: 'insert',
      text: INSERT,
      values: [
        seq,
        new Date(fact.recordedAt),
        new Date(fact.occurredAt),
        fact.schemaVersion,
        fact.id,
        Buffer.from(fact.hash, 'hex'),
        fact.type,
        Buffer.from(fact.payload),
      ],
    });
  };

interface Pair {
  readonly ours: number;
  readonly bare: number;
}

const inTurn = async (
  ledger: BenchLedger,
  pool: Pool,
  measure: (append: Append, ours: boolean) => Promise<number>,
): Promise<Pair> => {
  const rounds: Pair[] = [];
  for (let round = 0; round < args.runs; round += 1) {
    rounds.push({
      ours: await measure(ours(ledger, ['bench']), true),
      bare: await measure(insertPerCommit(pool), false),
    });
  }
  return { ours: median(rounds.map((round) => round.ours)), bare: median(rounds.map((round) => round.bare)) };
};

const pairResult = (name: string, goal: number, unit: string, { ours: mine, bare }: Pair): BenchResult => ({
  name,
  ratio: mine / bare,
  goal,
  yardstick: YARDSTICK,
  runs: args.runs,
  figures: { [`${unit}, ours`]: mine, [`${unit}, one INSERT per commit`]: bare },
});

const openResult = async (
  ledger: BenchLedger,
  pool: Pool,
  name: string,
  goal: number,
): Promise<BenchResult> => {
  const rates: Pair = await inTurn(ledger, pool, (append, mine) => heldRate(append, mine ? 4_000 : 1_000));
  return pairResult(name, goal, `appends/s with p99 <= ${P99_MS} ms`, rates);
};

const tenantsResult = async (ledger: BenchLedger): Promise<BenchResult> => {
  const many = Array.from({ length: 1_000 }, (_, index) => `tenant-${index}`);
  await Promise.all(many.map((tenant) => createTenant(ledger, tenant)));
  const rounds: Pair[] = [];
  for (let round = 0; round < args.runs; round += 1) {
    rounds.push({
      ours: await closedLoop(ours(ledger, many), CALLERS),
      bare: await closedLoop(ours(ledger, ['bench']), CALLERS),
    });
  }
  const [mine, one] = [median(rounds.map((round) => round.ours)), median(rounds.map((round) => round.bare))];
  return {
    name: 'append.tenants',
    ratio: mine / one,
    goal: 0.7,
    yardstick: 'the same with one tenant',
    runs: args.runs,
    figures: { 'appends/s, 1,000 tenants': mine, 'appends/s, one tenant': one },
  };
};

const SHIM = `#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
int fdatasync(int fd) { static int (*real)(int); if (!real) real = dlsym(RTLD_NEXT, "fdatasync"); usleep(5000); return real(fd); }`;

/** The slow-sync part, in a process whose server is started under a shim that sleeps 5 ms in each fdatasync. */
const slowSync = (): BenchResult | undefined => {
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-shim-'));
  execFileSync('chmod', ['755', folder]);
  const library = join(folder, 'slow-sync.so');
  writeFileSync(join(folder, 'slow-sync.c'), SHIM);
  try {
    execFileSync('cc', ['-shared', '-fPIC', '-o', library, join(folder, 'slow-sync.c'), '-ldl'], {
      stdio: 'pipe',
    });
  } catch {
    console.error('append.slow-sync left out: no C compiler to build the shim with');
    return undefined;
  }
  const child = spawnSync(
    process.execPath,
    [import.meta.filename, '--only', 'slow-sync', '--json', '--runs', '1', '--size', String(SECONDS)],
    {
      env: { ...process.env, LD_PRELOAD: library },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  return JSON.parse(child.stdout.trim().split('\n').at(-1) ?? '') as BenchResult;
};

const measureAll = async (): Promise<readonly BenchResult[]> => {
  await using ledger = await benchLedger();
  await createTenant(ledger, 'bench');
  const pool = connect({ url: ledger.url, role: RUNTIME_ROLE, max: YARDSTICK_CONNECTIONS });
  try {
    if (args.only === 'slow-sync') return [await openResult(ledger, pool, 'append.slow-sync', 13)];
    const results: BenchResult[] = [];
    const wanted = (name: string): boolean => args.only === undefined || args.only === name;
    if (wanted('tenants')) results.push(await tenantsResult(ledger));
    if (wanted('open')) results.push(await openResult(ledger, pool, 'append.open', 4));
    if (wanted('closed'))
      results.push(
        pairResult(
          'append.closed',
          5,
          'appends/s',
          await inTurn(ledger, pool, (append) => closedLoop(append, CALLERS)),
        ),
      );
    return results;
  } finally {
    await pool.end();
  }
};

const results = await measureAll();
await stopTestServers();
const slow = args.only === undefined ? slowSync() : undefined;
report([...(slow ? [slow] : []), ...results], args.json);
