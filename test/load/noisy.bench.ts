// What one noisy tenant costs the others: p95 of quiet tenants beside it, against theirs without it, in the same run.
//
//   noisy.limited    each tenant may send 500 a second; the noisy one sends 5,000
//   noisy.batches    no limit; the noisy one sends batches as fast as they are answered, 8 at a time
//
// --size is the seconds of a round.
import { stopTestServers } from '#test/support/postgres.ts';
import { type BenchResult, benchArguments, median, report } from './harness.ts';
import type { LoadJob, LoadResult } from './http-generator.ts';
import { generate, type ServiceWish, startServiceUnderLoad, tenantWithToken } from './http-run.ts';
import { benchLedger } from './ledger.ts';

const args = benchArguments({ runs: 5, size: 5 });
const QUIET = 4;
const QUIET_RATE = 100;
const LIMIT = 500;

interface Tenant {
  readonly tenant: string;
  readonly token: string;
}

interface Part {
  readonly name: string;
  readonly env: NonNullable<ServiceWish['env']>;
  readonly noise: Pick<LoadJob, 'connections' | 'lines'> & Partial<Pick<LoadJob, 'rate'>>;
}

const PARTS: readonly Part[] = [
  {
    name: 'limited',
    env: { PROV_LEDGER_RATE_LIMIT: `${LIMIT}:${LIMIT}` },
    noise: { connections: 32, lines: 1, rate: LIMIT * 10 },
  },
  { name: 'batches', env: {}, noise: { connections: 8, lines: 100 } },
];

await using ledger = await benchLedger();
const tenantOf = async (tenant: string): Promise<Tenant> => ({
  tenant,
  token: await tenantWithToken(ledger, tenant),
});
const noisy = await tenantOf('noisy');
const quiet = await Promise.all(Array.from({ length: QUIET }, (_, index) => tenantOf(`quiet-${index}`)));
const time = { seconds: args.size, warmupSeconds: 2 };

/** p95 of the quiet tenants, the worst of them; and what became of the noise. */
const round = async (
  { env, noise }: Part,
  isNoisy: boolean,
): Promise<{ readonly p95: number; readonly p99: number; readonly noise: LoadResult | undefined }> => {
  await using service = await startServiceUnderLoad(ledger, { env });
  const { url } = service;
  const noisily = isNoisy ? [generate({ url, ...noisy, ...noise, ...time })] : [];
  const quietly = quiet.map((of) =>
    generate({ url, ...of, ...time, connections: 8, lines: 1, rate: QUIET_RATE }),
  );
  const results = await Promise.all(quietly);
  for (const { statuses } of results)
    if (Object.keys(statuses).join() !== '201')
      throw new Error(`quiet tenants got ${JSON.stringify(statuses)}`);
  return {
    p95: Math.max(...results.map(({ p95 }) => p95)),
    p99: Math.max(...results.map(({ p99 }) => p99)),
    noise: (await Promise.all(noisily))[0],
  };
};

const measure = async (part: Part): Promise<BenchResult> => {
  const alone = [];
  const beside = [];
  for (let count = 0; count < args.runs; count += 1) {
    alone.push(await round(part, false));
    beside.push(await round(part, true));
  }
  const [without, withNoise] = [alone, beside].map((rounds) => median(rounds.map(({ p95 }) => p95)));
  const noise = beside.at(-1)?.noise;
  return {
    name: `noisy.${part.name}`,
    ratio: (without as number) / (withNoise as number),
    goal: 1 / 1.25,
    yardstick: `p95 of ${QUIET} quiet tenants without the noise`,
    runs: args.runs,
    figures: {
      'p95 ms, alone': without as number,
      'p95 ms, beside the noisy one': withNoise as number,
      'p99 ms, alone': median(alone.map(({ p99 }) => p99)),
      'p99 ms, beside the noisy one': median(beside.map(({ p99 }) => p99)),
      'receipts/s of the noisy one': noise?.perSecond ?? 0,
      'answers to the noisy one': JSON.stringify(noise?.statuses),
    },
  };
};

const results: BenchResult[] = [];
for (const part of PARTS)
  if (args.only === undefined || args.only === part.name) results.push(await measure(part));
await ledger[Symbol.asyncDispose]();
await stopTestServers();
report(results, args.json);
