// A service and a generator, each in a process of its own, for the benchmarks over HTTP.
import { type ChildProcess, execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { runCommand } from '#commands/run.ts';
import { tenants } from '#commands/tenants.ts';
import { newToken } from '#gateway/http/tokens.ts';
import { type Instant, tenantId } from '#schemas/ids.ts';
import type { LoadJob, LoadResult } from './http-generator.ts';
import type { ServiceJob, Usage } from './http-service.ts';
import { type BenchLedger, createTenant } from './ledger.ts';

/** At a given rate, what a cold process did not manage waits in front of the measured part: it must have come down. */
export const OPEN_WARMUP_SECONDS = 12;

export const SCOPES = ['receipts:write', 'receipts:read', 'ledger:read'];

/** A tenant that may do everything; returns its token. */
export const tenantWithToken = async (ledger: Pick<BenchLedger, 'store'>, name: string): Promise<string> => {
  await createTenant(ledger, name);
  const tenant = tenantId(name);
  const { token, tokenId, tokenHash } = newToken(tenant);
  const outcome = await runCommand(
    { store: ledger.store, decider: tenants },
    { type: 'IssueToken', tokenId, tokenHash, scopes: SCOPES },
    { tenant, actor: 'bench', at: Date.now() as Instant, key: `token ${tokenId}` },
  );
  if (outcome.kind !== 'recorded') throw new Error(`${name}: ${JSON.stringify(outcome)}`);
  return token;
};

export interface ServiceUnderLoad extends AsyncDisposable {
  readonly url: string;
  readonly usage: () => Promise<Usage>;
  readonly process: ChildProcess;
}

export interface ServiceWish extends Partial<Omit<ServiceJob, 'env'>> {
  /** Beside those that say where the ledger is. */
  readonly env?: ServiceJob['env'];
  readonly execArgv?: readonly string[];
}

export const startServiceUnderLoad = async (
  ledger: Pick<BenchLedger, 'url'>,
  { storage = 'ledger', readModels = false, env = {}, execArgv = [] }: ServiceWish = {},
): Promise<ServiceUnderLoad> => {
  const folder = await mkdtemp(join(tmpdir(), 'prov-ledger-bench-'));
  const job: ServiceJob = {
    storage,
    readModels,
    env: { DATABASE_URL: ledger.url, PROV_LEDGER_DATA_DIR: folder, ...env },
  };
  const child = fork(join(import.meta.dirname, 'http-service.ts'), [JSON.stringify(job)], {
    execArgv: [...execArgv],
    // Telemetry and settings of whoever runs the benchmark stay out.
    env: { PATH: process.env['PATH'] ?? '' },
  });
  const ended = once(child, 'exit');
  const first = await Promise.race([once(child, 'message'), ended.then(() => undefined)]);
  if (!first) throw new Error('the service did not start: see above');
  return {
    url: (first[0] as { url: string }).url,
    process: child,
    usage: async () => {
      child.send('usage');
      return (await once(child, 'message'))[0] as Usage;
    },
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGTERM');
      await ended;
      await rm(folder, { recursive: true });
    },
  };
};

export const generate = async (job: LoadJob): Promise<LoadResult> => {
  const script = join(import.meta.dirname, 'http-generator.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [script, JSON.stringify(job)]);
  return JSON.parse(stdout) as LoadResult;
};
