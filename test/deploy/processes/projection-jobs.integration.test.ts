// Work on read models that is begun over HTTP, with two services on one database. A lock that the test holds keeps a job
// in its middle for as long as it likes.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { type Client, connect, type Pool } from '#streams/postgres/connect.ts';
import { type FreshDatabase, freshDatabase } from '#test/support/postgres.ts';
import { blocksOf, page } from '../../docs/pages.ts';
import { inProcess } from './in-process.ts';
import { dataFolder, endAll, type Program, start } from './program.ts';

interface Service {
  readonly program: Program;
  readonly ask: (path: string, body?: object) => Promise<Answer>;
}

interface Answer {
  readonly status: number;
  readonly document: { readonly [name: string]: unknown };
}

describe('work on read models over HTTP', function () {
  this.timeout(120_000);
  const dataDir = dataFolder();
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-jobs-'));
  let database: FreshDatabase;
  let owner: Pool;
  let env: { readonly [name: string]: string };
  let operator: string;
  let here: Service;
  let there: Service;

  before(async () => {
    database = await freshDatabase();
    owner = connect({ url: database.url, max: 3 });
    env = {
      DATABASE_URL: database.url,
      PROV_LEDGER_DATA_DIR: dataDir,
      PROV_LEDGER_HTTP_PORT: '0',
      PROV_LEDGER_STORE_SECONDS: '2',
    };
    const receipts = Array.from({ length: 30 }, (_, index) =>
      JSON.stringify({
        id: `r-${index}`,
        action: 'a',
        actor: 'alice',
        decision: 'allow',
        created_at: '2026-11-10T09:00:00Z',
      }),
    );
    const file = join(folder, 'receipts.ndjson');
    writeFileSync(file, `${receipts.join('\n')}\n`);
    for (const args of [['migrate'], ['tenant', 'create', 'acme'], ['ingest', file, '--tenant', 'acme']])
      expect((await inProcess(args, { env })).code, args.join(' ')).to.equal(0);
    const created = await inProcess(['operator', 'create', '--label', 'Ada'], { env });
    expect(created.code, created.stderr).to.equal(0);
    operator = created.stdout.trim();
    [here, there] = await Promise.all([serve(), serve()]);
  });
  after(async () => {
    await endAll();
    for (const each of [folder, dirname(dataDir)]) rmSync(each, { recursive: true, force: true });
    await owner.end();
    await database[Symbol.asyncDispose]();
  });

  const serve = async (): Promise<Service> => {
    const program = start('cli.ts', ['serve', '--no-projectors'], { env });
    const [, url = ''] = await program.says(/listening on (http:\S+)/);
    const headers = { authorization: `Bearer ${operator}`, 'content-type': 'application/json' };
    return {
      program,
      ask: async (path, body) => {
        const given = body && { method: 'POST', body: JSON.stringify(body) };
        const answer = await fetch(`${url}/v1${path}`, { headers, ...given });
        return { status: answer.status, document: (await answer.json()) as Answer['document'] };
      },
    };
  };

  const AT = '/projections/receipts_daily';
  const hrefOf = ({ document: { href } }: Answer): string => href as string;

  const until = async <T>(look: () => Promise<T | undefined | false>): Promise<T> => {
    for (;;) {
      const found = await look();
      if (found) return found;
      await pause(50);
    }
  };
  const ended = (service: Service, href: string) =>
    until(async () => {
      const { document } = await service.ask(href);
      return document['state'] !== 'running' && document;
    });

  /** Holds what a job needs, until it is let go; the job waits for it when this comes back. */
  const held = async (table: string, begin: () => Promise<Answer>) => {
    locking = await owner.connect();
    await locking.query(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
    const begun = await begin();
    expect(begun.status, JSON.stringify(begun.document)).to.equal(202);
    await until(async () => (await waiting()) > 0);
    return hrefOf(begun);
  };
  let locking: Client | undefined;
  const letGo = (): void => {
    locking?.release(true);
    locking = undefined;
  };
  afterEach(letGo);
  /** For how many milliseconds a job has waited for a lock; a transaction would be told the same for ever. */
  const waiting = async (): Promise<number> => {
    const { rows } = await owner.query<{ ms: number }>(
      `SELECT extract(epoch FROM clock_timestamp() - query_start)::float8 * 1000 AS ms FROM pg_stat_activity
       WHERE application_name = 'prov-ledger jobs' AND wait_event_type = 'Lock' AND datname = current_database()`,
    );
    return rows[0]?.ms ?? 0;
  };
  const TABLE = 'projections.receipts_daily_v1';

  it('is seen by every process, one at a time, and takes longer than a request may', async () => {
    const href = await held(TABLE, () => here.ask(`${AT}/verify`, {}));
    expect((await there.ask(href)).document).to.include({ kind: 'verification', state: 'running' });
    expect((await there.ask(`${AT}/job`)).document['href']).to.equal(href);
    for (const service of [here, there]) {
      const { status, document } = await service.ask(`${AT}/rebuild`, {});
      expect([status, document['code'], document['job']]).to.deep.equal([409, 'job-under-way', href]);
    }
    // Longer than the service waits for any statement of a request.
    await until(async () => (await waiting()) > 3_000);
    letGo();
    const done = await ended(there, href);
    expect(done, JSON.stringify(done)).to.include({ state: 'done' });
    expect(done['result']).to.deep.include({ facts: 31, unequal: [] });
  });

  it('is cancelled from a process that does not run it', async () => {
    const href = await held(TABLE, () => here.ask(`${AT}/verify`, {}));
    const asked = await there.ask(`${href}/cancel`, {});
    expect([asked.status, asked.document['state']]).to.deep.equal([202, 'running']);
    // Said twice since, so that the first answer was heard.
    for (let beats = 0; beats < 2; beats += 1) {
      const before = await leaseOf(href);
      await until(async () => (await leaseOf(href)) !== before);
    }
    letGo();
    const cancelled = await ended(there, href);
    expect(cancelled).to.include({ state: 'cancelled', cancelled_by: cancelled['actor'] });
  });

  const idOf = (href: string): string => href.split('/').at(-1) as string;
  const leaseOf = async (href: string): Promise<string> =>
    (
      await owner.query<{ lease: string }>(
        'SELECT lease_until::text AS lease FROM projections.jobs WHERE job = $1',
        [idOf(href)],
      )
    ).rows[0]?.lease ?? '';

  it('is interrupted where its process was killed, and gone on with by another', async () => {
    const href = await held(`${TABLE}_gate`, () => here.ask(`${AT}/rebuild`, {}));
    here.program.child.kill('SIGKILL');
    await here.program.ended;
    letGo();
    // What ten seconds of silence do.
    await owner.query('UPDATE projections.jobs SET lease_until = now() WHERE job = $1', [idOf(href)]);
    expect(await ended(there, href)).to.include({ state: 'interrupted' });
    const next = await there.ask(`${AT}/rebuild`, {});
    const done = await ended(there, hrefOf(next));
    expect(done, JSON.stringify(done)).to.deep.include({
      state: 'done',
      result: { ...(done['result'] as object), build: 2 },
    });
    const { document } = await there.ask(`${AT}/jobs`);
    const kinds = (document['jobs'] as readonly Record<string, string>[]).map(
      ({ kind, state }) => `${kind} ${state}`,
    );
    expect(kinds).to.deep.equal([
      'rebuild done',
      'rebuild interrupted',
      'verification cancelled',
      'verification done',
    ]);
  });

  it('goes back, forth and makes room, as the runbook has it', async () => {
    for (const work of ['rollback', 'rollback', 'drop-old']) {
      const begun = await there.ask(`${AT}/${work}`, {});
      expect(await ended(there, hrefOf(begun)), work).to.include({ kind: work, state: 'done' });
    }
    expect((await ended(there, `${AT}/job`))['result']).to.deep.equal({
      dropped: [{ version: 1, build: 1 }],
    });
    const lines = blocksOf(page('docs/operations/rebuild.md'))
      .filter(({ language, label }) => language === 'sh' && label === 'curl')
      .flatMap(({ text }) => text.trim().split('\n'));
    const statuses: string[] = [];
    for (const line of lines) {
      const [, path = ''] = /"\$URL\/v1([^"]+)"/.exec(line) ?? [];
      const [, body] = / -d '([^']+)'$/.exec(line) ?? [];
      const { status, document } = await there.ask(path, body === undefined ? undefined : JSON.parse(body));
      statuses.push(`${path.slice(AT.length + 1)} ${status} ${String(document['code'] ?? '')}`.trim());
    }
    expect(statuses).to.deep.equal([
      'rebuild 202',
      'job 200',
      'jobs 200',
      'parked 200',
      'parked/skip 409 projection-goes-on',
    ]);
    expect((await ended(there, `${AT}/job`))['result']).to.include({ build: 3 });
  });

  it('is ended with the process that runs it, when that one is told to stop', async () => {
    const href = await held(`${TABLE}_b3`, () => there.ask(`${AT}/verify`, {}));
    const stopped = there.program.ended;
    there.program.child.kill('SIGTERM');
    await until(async () => (await there.ask('/projections').catch(() => 'away')) === 'away');
    letGo();
    expect((await stopped).code).to.equal(0);
    const { rows } = await owner.query('SELECT state, result FROM projections.jobs WHERE job = $1', [
      idOf(href),
    ]);
    expect(rows).to.deep.equal([{ state: 'interrupted', result: null }]);
  });
});
