// What one noisy tenant costs another: p95 of a quiet tenant's 400 a second beside it, against the same without it.
//
//   noisy.limited    each tenant may send 500 a second; the noisy one sends 2,000; shown beside it: one that keeps to 500
//   noisy.batches    no limit; the noisy one sends batches as fast as they are answered, 8 at a time
//
// --size is the seconds of a round.
import { stopTestServers } from '#test/support/postgres.ts';
import { type BenchResult, benchArguments, median, report } from './harness.ts';
import type { LoadJob, LoadResult } from './http-generator.ts';
import {
  generate,
  OPEN_WARMUP_SECONDS,
  type ServiceWish,
  startServiceUnderLoad,
  tenantWithToken,
} from './http-run.ts';
import { type BenchLedger, benchLedger } from './ledger.ts';

const args = benchArguments({ runs: 5, size: 5 });
const QUIET_RATE = 400;
const LIMIT = 500;

interface Tenant {
  readonly tenant: string;
  readonly token: string;
}

interface Part {
  readonly name: string;
  readonly env: NonNullable<ServiceWish['env']>;
  readonly noise: Noise;
  /** The same from a tenant that does what it may. */
  readonly fair?: Noise;
}

type Noise = Pick<LoadJob, 'connections' | 'lines'> & Partial<Pick<LoadJob, 'rate'>>;

const PARTS: readonly Part[] = [
  {
    name: 'limited',
    env: { PROV_LEDGER_RATE_LIMIT: `${LIMIT}:${LIMIT}` },
    noise: { connections: 32, lines: 1, rate: LIMIT * 4 },
    fair: { connections: 32, lines: 1, rate: LIMIT },
  },
  { name: 'batches', env: {}, noise: { connections: 8, lines: 100 } },
];

const TIME = { seconds: args.size, warmupSeconds: OPEN_WARMUP_SECONDS };

interface Tenants {
  readonly ledger: BenchLedger;
  readonly quiet: Tenant;
  readonly noisy: Tenant;
}

interface Round {
  readonly quiet: LoadResult;
  readonly noise: LoadResult | undefined;
}

const round = async ({ ledger, quiet, noisy }: Tenants, env: Part['env'], noise?: Noise): Promise<Round> => {
  await using service = await startServiceUnderLoad(ledger, { env });
  const { url } = service;
  const noisily = noise && generate({ url, ...noisy, ...noise, ...TIME });
  const load = { connections: 64, lines: 1, rate: QUIET_RATE };
  const result = await generate({ url, ...quiet, ...load, ...TIME });
  if (Object.keys(result.statuses).join() !== '201')
    throw new Error(`the quiet tenant got ${JSON.stringify(result.statuses)}`);
  return { quiet: result, noise: await noisily };
};

const measure = async (tenants: Tenants, part: Part): Promise<BenchResult> => {
  const alone: Round[] = [];
  const beside: Round[] = [];
  const fair: Round[] = [];
  for (let count = 0; count < args.runs; count += 1) {
    alone.push(await round(tenants, part.env));
    beside.push(await round(tenants, part.env, part.noise));
    if (part.fair) fair.push(await round(tenants, part.env, part.fair));
  }
  const middle = (rounds: readonly Round[], of: 'p50' | 'p95' | 'p99'): number =>
    median(rounds.map(({ quiet }) => quiet[of]));
  const noise = beside.at(-1)?.noise;
  return {
    name: `noisy.${part.name}`,
    ratio: middle(alone, 'p95') / middle(beside, 'p95'),
    goal: 1 / 1.25,
    yardstick: 'p95 of the quiet tenant without the noise',
    runs: args.runs,
    figures: {
      'p50 ms, alone': middle(alone, 'p50'),
      'p50 ms, beside the noisy one': middle(beside, 'p50'),
      'p95 ms, alone': middle(alone, 'p95'),
      'p95 ms, beside the noisy one': middle(beside, 'p95'),
      ...(part.fair && { 'p95 ms, beside one within the limit': middle(fair, 'p95') }),
      'p99 ms, alone': middle(alone, 'p99'),
      'p99 ms, beside the noisy one': middle(beside, 'p99'),
      'receipts/s of the noisy one': noise?.perSecond ?? 0,
      'answers to the noisy one': JSON.stringify(noise?.statuses),
    },
  };
};

const measureAll = async (): Promise<readonly BenchResult[]> => {
  await using ledger = await benchLedger();
  const tenantOf = async (tenant: string): Promise<Tenant> => ({
    tenant,
    token: await tenantWithToken(ledger, tenant),
  });
  const tenants = { ledger, quiet: await tenantOf('quiet'), noisy: await tenantOf('noisy') };
  const results: BenchResult[] = [];
  for (const part of PARTS)
    if (args.only === undefined || args.only === part.name) results.push(await measure(tenants, part));
  return results;
};

const results = await measureAll();
await stopTestServers();
report(results, args.json);
