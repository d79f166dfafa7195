// How fast the service is over HTTP, against the very same server with its storage taken out. Service, PostgreSQL and
// load generator share the machine, each in a process of its own.
//
//   http.singles   256 connections, one receipt a request, each answered when it is durable and signed
//   http.batches   NDJSON of 100 receipts a request
//   http.open-1k   1,000 requests a second in an open loop: p50 within 3 ms, p95 within 12
//   http.open-5k   5,000 a second: p99 within 25 ms
//   http.emmett    the same singles with Emmett's event store behind the same routes
//   http.lag       how far the live read models are behind at up to 20,000 facts a second
//   http.sse       1,000 facts a second to 200 watching clients, one of which takes nothing
//
// --size is the seconds of a round; --only names one part without its "http.".
import { stopTestServers } from '#test/support/postgres.ts';
import { type BenchResult, benchArguments, median, report } from './harness.ts';
import type { LoadJob, LoadResult } from './http-generator.ts';
import { type LiveBench, lag, sse } from './http-live.ts';
import {
  generate,
  OPEN_WARMUP_SECONDS,
  type ServiceWish,
  startServiceUnderLoad,
  tenantWithToken,
} from './http-run.ts';
import { type BenchLedger, benchLedger } from './ledger.ts';

const TENANT = 'bench';
const args = benchArguments({ runs: 3, size: 5 });
const WITHOUT = 'the same server with its storage taken out';

type Load = Pick<LoadJob, 'connections' | 'lines'> & Partial<Pick<LoadJob, 'rate'>>;

interface Bench {
  readonly ledger: BenchLedger;
  readonly token: string;
}

const measure = async (
  { ledger, token }: Bench,
  storage: NonNullable<ServiceWish['storage']>,
  load: Load,
): Promise<LoadResult> => {
  await using service = await startServiceUnderLoad(ledger, { storage });
  const warmupSeconds = load.rate === undefined ? Math.max(1, args.size / 3) : OPEN_WARMUP_SECONDS;
  const time = { seconds: args.size, warmupSeconds };
  const result = await generate({ url: service.url, token, tenant: TENANT, ...load, ...time });
  const wrong = Object.keys(result.statuses).filter((status) => status !== '201' && status !== '200');
  if (wrong.length > 0) throw new Error(`answers other than success: ${JSON.stringify(result.statuses)}`);
  return result;
};

/** In turn, as many rounds as asked for. */
const inTurn = async (
  bench: Bench,
  load: Load,
  yardstick: NonNullable<ServiceWish['storage']> = 'nothing',
): Promise<{ readonly ours: readonly LoadResult[]; readonly other: readonly LoadResult[] }> => {
  const ours: LoadResult[] = [];
  const other: LoadResult[] = [];
  for (let round = 0; round < args.runs; round += 1) {
    ours.push(await measure(bench, 'ledger', load));
    other.push(await measure(bench, yardstick, load));
  }
  return { ours, other };
};

const middle = (results: readonly LoadResult[], of: 'perSecond' | 'p50' | 'p95' | 'p99'): number =>
  median(results.map((result) => result[of]));

const latencies = (results: readonly LoadResult[], whose: string) => ({
  [`p50 ms, ${whose}`]: middle(results, 'p50'),
  [`p95 ms, ${whose}`]: middle(results, 'p95'),
  [`p99 ms, ${whose}`]: middle(results, 'p99'),
});

const singles = async (bench: Bench): Promise<BenchResult> => {
  const { ours, other } = await inTurn(bench, { connections: 256, lines: 1 });
  const [mine, bare] = [middle(ours, 'perSecond'), middle(other, 'perSecond')];
  return {
    name: 'http.singles',
    ratio: mine / bare,
    goal: 0.7,
    yardstick: WITHOUT,
    runs: args.runs,
    figures: {
      'receipts/s': mine,
      'receipts/s without storage': bare,
      ...latencies(ours, 'ours'),
    },
  };
};

const BATCH_LINES = 100;
const BATCHES_GOAL = 40_000;

const batches = async (bench: Bench): Promise<BenchResult> => {
  const { ours, other } = await inTurn(bench, { connections: 16, lines: BATCH_LINES });
  const mine = middle(ours, 'perSecond');
  return {
    name: 'http.batches',
    ratio: mine / BATCHES_GOAL,
    goal: 1,
    yardstick: `${BATCHES_GOAL} receipts/s`,
    runs: args.runs,
    figures: {
      'receipts/s': mine,
      'receipts/s without storage': middle(other, 'perSecond'),
      ...latencies(ours, 'ours'),
    },
  };
};

interface Bounds {
  readonly rate: number;
  readonly ms: Partial<Record<'p50' | 'p95' | 'p99', number>>;
}

const open =
  (name: string, { rate, ms }: Bounds) =>
  async (bench: Bench): Promise<BenchResult> => {
    const { ours, other } = await inTurn(bench, { connections: 256, lines: 1, rate });
    const bounds = Object.entries(ms) as (readonly ['p50' | 'p95' | 'p99', number])[];
    const shares = bounds.map(([of, bound]) => bound / middle(ours, of));
    return {
      name,
      ratio: Math.min(...shares),
      goal: 1,
      yardstick: bounds.map(([of, bound]) => `${of} ${bound} ms`).join(' and '),
      runs: args.runs,
      figures: {
        'receipts/s': middle(ours, 'perSecond'),
        ...latencies(ours, 'ours'),
        ...latencies(other, 'without storage'),
      },
    };
  };

const emmett = async (bench: Bench): Promise<BenchResult> => {
  const { ours, other } = await inTurn(bench, { connections: 256, lines: 1 }, 'emmett');
  const [mine, theirs] = [middle(ours, 'perSecond'), middle(other, 'perSecond')];
  return {
    name: 'http.emmett',
    ratio: mine / theirs,
    goal: 10,
    yardstick: "Emmett's PostgreSQL event store behind the same routes",
    runs: args.runs,
    figures: { 'receipts/s': mine, 'receipts/s, Emmett': theirs, ...latencies(other, 'Emmett') },
  };
};

const live =
  (part: (bench: LiveBench) => Promise<BenchResult>) =>
  async (bench: Bench): Promise<BenchResult> =>
    await part({ ...bench, tenant: TENANT, seconds: args.size, runs: args.runs });

const PARTS: { readonly [name: string]: (bench: Bench) => Promise<BenchResult> } = {
  sse: live(sse),
  lag: live(lag),
  emmett,
  'open-1k': open('http.open-1k', { rate: 1_000, ms: { p50: 3, p95: 12 } }),
  'open-5k': open('http.open-5k', { rate: 5_000, ms: { p99: 25 } }),
  batches,
  singles,
};

const measureAll = async (): Promise<readonly BenchResult[]> => {
  await using ledger = await benchLedger();
  const bench = { ledger, token: await tenantWithToken(ledger, TENANT) };
  const results: BenchResult[] = [];
  for (const [name, part] of Object.entries(PARTS))
    if (args.only === undefined || args.only === name) results.push(await part(bench));
  return results;
};

const results = await measureAll();
await stopTestServers();
report(results, args.json);
