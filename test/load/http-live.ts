// The parts of bench:http that look at what follows a write: read models and watching clients.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { projectors } from '#projectors/index.ts';
import { projectionLag } from '#projectors/postgres/lag.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { type BenchResult, median, quantile } from './harness.ts';
import { generate, startServiceUnderLoad } from './http-run.ts';
import type { WatchJob, WatchResult } from './http-watchers.ts';
import type { BenchLedger } from './ledger.ts';

export interface LiveBench {
  readonly ledger: BenchLedger;
  readonly token: string;
  readonly tenant: string;
  readonly seconds: number;
  readonly runs: number;
}

const LAG_RATE = 20_000;
const LAG_LINES = 100;
/** Two batches of the runner, 1,000 facts each. */
const LAG_FACTS_MAX = 2_000;

interface LagRound {
  readonly lagFacts: number;
  readonly lagFactsMax: number;
  readonly perSecond: number;
}

const lagRound = async ({ ledger, token, tenant, seconds }: LiveBench): Promise<LagRound> => {
  await using service = await startServiceUnderLoad(ledger, { readModels: true });
  const factsBehind = async (): Promise<number> => {
    const lag = await projectionLag(oneDatabase(ledger.pool), projectors);
    return Math.max(...lag.map(({ lagFacts }) => lagFacts));
  };
  // What other parts have written is no lag of this one.
  while ((await factsBehind()) > 0) await pause(200);
  const load = { connections: 16, lines: LAG_LINES, rate: LAG_RATE / LAG_LINES };
  const loading = generate({ url: service.url, token, tenant, ...load, seconds, warmupSeconds: 2 });
  const lags: number[] = [];
  let over = false;
  const sampling = (async (): Promise<void> => {
    await pause(2_000);
    for (; !over; await pause(100)) lags.push(await factsBehind());
  })();
  const { perSecond } = await loading.finally(() => {
    over = true;
  });
  await sampling;
  return { lagFacts: quantile(lags, 0.95), lagFactsMax: Math.max(...lags), perSecond };
};

export const lag = async (bench: LiveBench): Promise<BenchResult> => {
  const rounds: LagRound[] = [];
  for (let round = 0; round < bench.runs; round += 1) rounds.push(await lagRound(bench));
  const middle = (of: keyof LagRound): number => median(rounds.map((round) => round[of]));
  const behind = Math.max(1, middle('lagFacts'));
  return {
    name: 'http.lag',
    // Whoever takes fewer facts is less behind: both count.
    ratio: Math.min(LAG_FACTS_MAX / behind, middle('perSecond') / (LAG_RATE * 0.99)),
    goal: 1,
    yardstick: `at most ${LAG_FACTS_MAX} facts (two batches) behind at ${LAG_RATE} facts/s`,
    runs: bench.runs,
    figures: {
      'receipts/s': middle('perSecond'),
      'facts behind, p95': middle('lagFacts'),
      'facts behind, at most': middle('lagFactsMax'),
    },
  };
};

const CLIENTS = 200;
const SSE_RATE = 1_000;
/** What watching may add to the process. */
const MEMORY_MIB_MAX = 256;
const PAST_SECONDS = 5;
/** Longer than the service waits for a client that takes nothing. */
const SSE_SECONDS = 30;

export const sse = async ({ ledger, token, tenant }: LiveBench): Promise<BenchResult> => {
  await using service = await startServiceUnderLoad(ledger, { execArgv: ['--expose-gc'] });
  const { url } = service;
  // More than the sockets of the client that takes nothing can hold.
  const past = { connections: 16, lines: 100, seconds: PAST_SECONDS, warmupSeconds: 0 };
  await generate({ url, token, tenant, ...past });
  const before = await service.usage();
  const job: WatchJob = { url, token, tenant, clients: CLIENTS };
  const watchers = fork(join(import.meta.dirname, 'http-watchers.ts'), [JSON.stringify(job)]);
  await once(watchers, 'message');
  const load = { connections: 64, lines: 1, rate: SSE_RATE };
  const written = await generate({ url, token, tenant, ...load, seconds: SSE_SECONDS, warmupSeconds: 0 });
  const during = await service.usage();
  await pause(1_000);
  watchers.send('over');
  const watched = (await once(watchers, 'message'))[0] as WatchResult;
  const grown = during.rssMiB - before.rssMiB;
  const bounds = [
    watched.least / written.recordedInAll,
    written.perSecond / (SSE_RATE * 0.99),
    MEMORY_MIB_MAX / Math.max(1, grown),
    watched.slowClient === 'too-slow' ? 1 : 0,
  ];
  return {
    name: 'http.sse',
    ratio: Math.min(1, ...bounds),
    goal: 0.99,
    yardstick: `every fact to each of ${CLIENTS - 1} clients within a second, a slow one let go, ${MEMORY_MIB_MAX} MiB`,
    runs: 1,
    figures: {
      'receipts/s written': written.perSecond,
      'p95 ms, written': written.p95,
      'facts a client, of those written': watched.least / written.recordedInAll,
      'events/s, all clients': watched.delivered / watched.seconds,
      'p50 ms, recorded to received': watched.p50,
      'p95 ms, recorded to received': watched.p95,
      'memory more, MiB': grown,
      'the client that takes nothing': watched.slowClient,
    },
  };
};
