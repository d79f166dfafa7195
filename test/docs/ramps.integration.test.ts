// docs/operations/ramps.md, command by command in its order, beside a service that is killed while a step is held.
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { connect, type Pool } from '#streams/postgres/connect.ts';
import { inProcess } from '../deploy/processes/in-process.ts';
import { dataFolder, endAll, start } from '../deploy/processes/program.ts';
import { type FreshDatabase, freshDatabase } from '../support/postgres.ts';
import { blocksOf, page } from './pages.ts';

// An hour of the page is three seconds here: no outcome depends on which comes first.
const commands = blocksOf(page('docs/operations/ramps.md'))
  .filter(({ language }) => language === 'sh')
  .flatMap(({ text }) => text.trim().split('\n'))
  .map((line) => line.replace('--hold-seconds 3600', '--hold-seconds 3'))
  .map((line) =>
    [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '').slice(1),
  );

describe('docs/operations/ramps.md', function () {
  this.timeout(300_000);
  const dataDir = dataFolder();
  let database: FreshDatabase;
  let pool: Pool;
  let env: { readonly [name: string]: string };
  before(async () => {
    database = await freshDatabase();
    pool = connect({ url: database.url, max: 1 });
    env = {
      DATABASE_URL: database.url,
      PROV_LEDGER_DATA_DIR: dataDir,
      PROV_LEDGER_HTTP_PORT: '0',
      PROV_LEDGER_OPERATORS_PORT: '0',
    };
    for (const args of [['migrate'], ['tenant', 'create', 'acme']])
      expect((await inProcess(args, { env })).code, args.join(' ')).to.equal(0);
  });
  after(async () => {
    await endAll();
    await pool.end();
    rmSync(dirname(dataDir), { recursive: true, force: true });
    await database[Symbol.asyncDispose]();
  });

  const serve = async () => {
    const program = start('cli.ts', ['serve'], { env });
    await program.says(/listening on http/);
    return program;
  };
  const facts = async (type: string): Promise<number> => {
    const { rows } = await pool.query<{ n: number }>(
      'SELECT count(*)::int AS n FROM ledger.fact_texts WHERE type = $1',
      [type],
    );
    return rows[0]?.n ?? 0;
  };
  const until = async (type: string, count: number): Promise<void> => {
    for (let look = 0; look < 600; look += 1) {
      if ((await facts(type)) >= count) return;
      await pause(100);
    }
    throw new Error(`${type} was not recorded ${count} times within a minute`);
  };

  it('leads through a ramp that freezes for want of data, and a kill changes nothing of it', async () => {
    // A saga is silent about what was there before it: it must be at work first.
    let service = await serve();
    const said: string[] = [];
    for (const [index, args] of commands.entries()) {
      if (args[1] === 'status') await until('flags.FlagFrozen', 1);
      const at = Date.now();
      const now = { '--from': new Date(at - 60_000).toISOString(), '--to': new Date(at).toISOString() };
      const timed = args.map((arg, place) => now[args[place - 1] as keyof typeof now] ?? arg);
      const { code, stdout, stderr } = await inProcess(timed, { env });
      expect(code, `${args.join(' ')}: ${stdout}${stderr}`).to.equal(0);
      said.push(stdout);
      if (args[1] === 'start' && !args.includes('--dry-run')) {
        await until('timers.TimerScheduled', index > 1 ? 2 : 1);
        service.child.kill('SIGKILL');
        await service.ended;
        service = await serve();
      }
      if (args.includes('--dry-run')) await until('flags.RampAdvised', 1);
    }
    expect(said.join('')).to.match(/new-checkout is at 10 %, frozen: missing/);
    expect(said.join('')).to.match(/-> FreezeFlag, recorded as fact \d+ \(flags\.FlagFrozen\)/);
    expect(said.at(-1)).to.match(/new-checkout +10 /);
    expect(await facts('flags.FlagRamped')).to.equal(1);
    const { rows } = await pool.query<{ n: number }>(
      `SELECT max(n)::int AS n FROM (
         SELECT count(*) AS n FROM ledger.fact_texts WHERE type = 'timers.TimerFired' GROUP BY payload->>'timer_id'
       ) AS fired`,
    );
    expect(rows[0]?.n, 'each timer fires once').to.equal(1);
    service.child.kill('SIGTERM');
    await service.ended;
  });
});
