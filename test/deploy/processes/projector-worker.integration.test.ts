// The process `prov-ledger projector-worker`: two of them beside a service that keeps no read models itself.
import { rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { type FreshDatabase, freshDatabase } from '#test/support/postgres.ts';
import { inProcess } from './in-process.ts';
import { dataFolder, endAll, type Program, start } from './program.ts';

describe('prov-ledger projector-worker', function () {
  this.timeout(180_000);
  const dataDir = dataFolder();
  let database: FreshDatabase;
  let env: { readonly [name: string]: string };
  before(async () => {
    database = await freshDatabase();
    env = {
      DATABASE_URL: database.url,
      PROV_LEDGER_DATA_DIR: dataDir,
      PROV_LEDGER_OPERATORS_PORT: '0',
      PROV_LEDGER_WORKER_LEASE_SECONDS: '2',
    };
    await cli('migrate');
    await cli('tenant', 'create', 'acme');
  });
  after(async () => {
    await endAll();
    rmSync(dirname(dataDir), { recursive: true });
    await database[Symbol.asyncDispose]();
  });

  const cli = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await inProcess(args, { env });
    expect(code, `${args.join(' ')}: ${stderr}`).to.equal(0);
    return stdout;
  };

  const worker = async (): Promise<{ readonly program: Program; readonly url: string }> => {
    const program = start('cli.ts', ['projector-worker'], { env });
    const [, url = ''] = await program.says(/figures at (http:\S+)/);
    return { program, url };
  };

  const figure = async (url: string, name: string): Promise<number> => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
  };

  const slots = async (url: string, wanted: number): Promise<void> => {
    for (let look = 0; (await figure(url, 'ledger_worker_slots')) !== wanted; look += 1) {
      if (look === 600)
        throw new Error(`never ${wanted} slots, but ${await figure(url, 'ledger_worker_slots')}`);
      await pause(100);
    }
  };

  const lag = async (): Promise<number> => {
    const { projections } = JSON.parse(await cli('projections', 'status', 'acme', '--json')) as {
      projections: readonly { lagFacts: number }[];
    };
    return Math.max(...projections.map(({ lagFacts }) => lagFacts));
  };

  it('shares the tenants with its like, says how it is, and ends orderly', async () => {
    const file = join(dirname(dataDir), 'receipts.ndjson');
    const receipts = Array.from({ length: 30 }, (_, index) =>
      JSON.stringify({
        id: `r-${index}`,
        action: 'db.export',
        actor: 'alice',
        decision: 'allow',
        created_at: '2026-11-21T09:00:00Z',
      }),
    );
    writeFileSync(file, `${receipts.join('\n')}\n`);
    const first = await worker();
    await slots(first.url, 256);
    const second = await worker();
    await slots(first.url, 128);
    await slots(second.url, 128);
    expect((await fetch(`${first.url}/readyz`)).status).to.equal(200);
    expect((await fetch(`${first.url}/receipts`)).status).to.equal(404);
    await cli('ingest', file, '--tenant', 'acme');
    while ((await lag()) > 0) await pause(50);
    expect(await figure(first.url, 'ledger_projection_halted_tenants')).to.equal(0);
    second.program.child.kill('SIGKILL');
    await slots(first.url, 256);
    first.program.child.kill('SIGTERM');
    const { code, stderr } = await first.program.ended;
    expect(code).to.equal(0);
    expect(stderr).to.match(/"msg":"drained"/);
    expect(await cli('projections', 'verify', 'receipts_daily')).to.match(/is what the history says/);
  });
});
