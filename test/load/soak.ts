// The service under 1,000 receipts a second for an hour (`--minutes 5` in CI), read models live: its memory stays flat,
// nothing piles up, and every receipt that was acknowledged is there once. Ends with 1 when one of these does not hold.
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { projectors } from '#projectors/index.ts';
import { projectionLag } from '#projectors/postgres/lag.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { stopTestServers } from '#test/support/postgres.ts';
import { machine, median } from './harness.ts';
import { generate, startServiceUnderLoad, tenantWithToken } from './http-run.ts';
import { type BenchLedger, benchLedger } from './ledger.ts';

const TENANT = 'soak';
const { values } = parseArgs({ options: { minutes: { type: 'string' }, rate: { type: 'string' } } });
const MINUTES = Number(values.minutes ?? 60);
const RATE = Number(values.rate ?? 1_000);
const WARMUP_SECONDS = 20;
const EVERY_MS = 5_000;
/** Facts of one second. */
const BACKLOG_MAX = RATE;
/** What the heap may differ by chance, beside a tenth. */
const HEAP_SLACK_MIB = 8;

interface Sample {
  readonly heapMiB: number;
  readonly rssMiB: number;
  readonly queuedFacts: number;
  readonly lagFacts: number;
}

const lagFacts = async ({ pool }: BenchLedger): Promise<number> =>
  Math.max(...(await projectionLag(oneDatabase(pool), projectors)).map((lag) => lag.lagFacts));

const storedReceipts = async ({ owner }: BenchLedger) => {
  const { rows } = await owner.query<{ stored: number; distinct: number }>(
    `SELECT count(*)::float8 AS stored, count(DISTINCT id)::float8 AS distinct
     FROM ledger.facts WHERE type = 'receipts.ReceiptRecorded'`,
  );
  return rows[0] as { stored: number; distinct: number };
};

const soak = async (ledger: BenchLedger) => {
  const token = await tenantWithToken(ledger, TENANT);
  await using service = await startServiceUnderLoad(ledger, { readModels: true, execArgv: ['--expose-gc'] });
  const time = { seconds: MINUTES * 60, warmupSeconds: WARMUP_SECONDS };
  const load = { connections: 64, lines: 1, rate: RATE };
  const loading = generate({ url: service.url, token, tenant: TENANT, ...load, ...time });
  const samples: Sample[] = [];
  let over = false;
  const sampling = (async (): Promise<void> => {
    await pause(WARMUP_SECONDS * 1_000);
    for (; !over; await pause(EVERY_MS))
      samples.push({ ...(await service.usage()), lagFacts: await lagFacts(ledger) });
  })();
  const result = await loading.finally(() => {
    over = true;
  });
  await sampling;
  const deadline = performance.now() + 60_000;
  while ((await lagFacts(ledger)) > 0 && performance.now() < deadline) await pause(200);
  return { result, samples, lagAtEnd: await lagFacts(ledger), ...(await storedReceipts(ledger)) };
};

/** Medians of the second quarter and of the last: the first still fills caches. */
const drift = (samples: readonly Sample[], of: keyof Sample): readonly [number, number] => {
  const quarter = Math.max(1, samples.length >> 2);
  const middle = (part: readonly Sample[]): number => median(part.map((sample) => sample[of]));
  return [middle(samples.slice(quarter, quarter * 2)), middle(samples.slice(-quarter))];
};

const judge = ({ result, samples, lagAtEnd, stored, distinct }: Awaited<ReturnType<typeof soak>>) => {
  const [heapBefore, heapAfter] = drift(samples, 'heapMiB');
  const [, rssAfter] = drift(samples, 'rssMiB');
  const [, lagAfter] = drift(samples, 'lagFacts');
  const queued = Math.max(...samples.map(({ queuedFacts }) => queuedFacts));
  const checks: readonly (readonly [string, boolean])[] = [
    [
      `memory: heap ${heapBefore.toFixed(1)} MiB, at the end ${heapAfter.toFixed(1)}; rss ${rssAfter.toFixed(0)}`,
      heapAfter <= heapBefore * 1.1 + HEAP_SLACK_MIB,
    ],
    [`appends waiting: at most ${queued}`, queued <= BACKLOG_MAX],
    [
      `read models behind: ${lagAfter} facts in the last quarter, ${lagAtEnd} at the end`,
      lagAfter <= BACKLOG_MAX && lagAtEnd === 0,
    ],
    [`answers: ${JSON.stringify(result.statuses)}`, Object.keys(result.statuses).join() === '201'],
    [`rate: ${result.perSecond.toFixed(0)} of ${RATE} a second`, result.perSecond >= RATE * 0.99],
    [
      `duplicates: ${stored - distinct}; acknowledged ${result.recordedInAll}, stored ${stored}`,
      stored === distinct && stored === result.recordedInAll,
    ],
  ];
  return checks;
};

const run = async (): Promise<boolean> => {
  await using ledger = await benchLedger();
  const outcome = await soak(ledger);
  const { p50, p95, p99, max } = outcome.result;
  const checks = judge(outcome);
  console.log(machine());
  console.log(`soak: ${MINUTES} minutes at ${RATE} receipts a second`);
  for (const [what, holds] of checks) console.log(`  ${holds ? 'holds ' : 'FAILED'} ${what}`);
  console.log(
    `  latency ms: p50 ${p50.toFixed(1)}, p95 ${p95.toFixed(1)}, p99 ${p99.toFixed(1)}, max ${max.toFixed(0)}`,
  );
  return checks.every(([, holds]) => holds);
};

const holds = await run();
await stopTestServers();
process.exitCode = holds ? 0 : 1;
