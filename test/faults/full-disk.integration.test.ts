// A PostgreSQL whose disk is full: whoever publishes is refused in time, with the cause; what can be read is read; and when
// there is room again everything goes on by itself, nothing lost and nothing that was refused stored.
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { claimId } from '#commands/run.ts';
import { tenantId } from '#schemas/ids.ts';
import { connect, type Pool, streamError } from '#streams/postgres/connect.ts';
import { type Answer, type HttpClient, httpClient, problemCode, sameOf } from './http-client.ts';
import { openSite, type Service, type Site } from './site.ts';
import { type SmallDisk, smallDisk } from './small-disk.ts';

const ACME = tenantId('acme');
/** The cluster takes 47 MiB before its first fact, two segments of WAL take 32. */
const DISK_MIB = 256;
const STORE_SECONDS = 2;
const REFUSALS = ['out-of-space', 'store-unavailable', 'outcome-unknown'];

describe('while the disk of PostgreSQL is full', function () {
  this.timeout(180_000);
  let disk: SmallDisk;
  let site: Site;
  let client: HttpClient;
  let service: Service;
  let count = 0;
  const acknowledged = new Map<string, string>();

  before(async function () {
    const made = smallDisk(DISK_MIB);
    if (!made) return this.skip();
    disk = made;
    const settings = { min_wal_size: '32MB', max_wal_size: '64MB', wal_recycle: 'off' };
    site = await openSite({ dataDir: disk.folder, settings });
    client = httpClient();
    service = await site.service({ storeSeconds: STORE_SECONDS });
  });
  after(async () => {
    disk?.empty();
    client?.[Symbol.dispose]();
    await site?.[Symbol.asyncDispose]();
    disk?.[Symbol.dispose]();
  });

  const token = (): string => site.tokens.get(ACME) ?? '';
  const get = (path: string): Promise<Answer> =>
    client.ask(service.url, { method: 'GET', path, token: token(), withinMs: 15_000 });
  const receiptOf = (id: string) => ({
    id,
    action: 'db.export',
    actor: 'alice',
    decision: 'allow',
    inputs: { note: id.repeat(200) },
  });
  const send = (id: string): Promise<Answer> =>
    client.ask(service.url, {
      path: '/v1/receipts',
      token: token(),
      body: JSON.stringify(receiptOf(id)),
      withinMs: 15_000,
    });
  const fresh = (): string => `full-${(count += 1)}`;
  const acknowledge = (id: string, answer: Answer): void => {
    expect(answer.status, answer.body).to.equal(201);
    const before = acknowledged.get(id);
    if (before !== undefined) expect(sameOf(answer), id).to.equal(before);
    acknowledged.set(id, sameOf(answer));
  };

  /** Publishes onto the full disk until so many were refused; tells which, and how. */
  const refusals = async (wanted: number): Promise<ReadonlyMap<string, string>> => {
    const refused = new Map<string, string>();
    for (let round = 0; refused.size < wanted; round += 1) {
      if (round === 200) throw new Error('200 rounds, and the disk is not full');
      disk.fill();
      const ids = Array.from({ length: 8 }, fresh);
      const answers = await Promise.all(ids.map(send));
      for (const [index, id] of ids.entries()) {
        const answer = answers[index] as Answer;
        if (answer.status === 201) acknowledge(id, answer);
        else refused.set(id, expectRefusal(answer));
      }
    }
    return refused;
  };
  const expectRefusal = (answer: Answer): string => {
    const code = problemCode(answer) ?? '';
    expect(code, answer.body).to.be.oneOf(REFUSALS);
    expect(answer.status).to.equal(code === 'out-of-space' ? 507 : 503);
    expect(Number(answer.headers['retry-after'])).to.be.at.least(1);
    return code;
  };

  /** By itself, once there is room. */
  const recovers = async (ids: Iterable<string>): Promise<void> => {
    disk.empty();
    const end = performance.now() + 90_000;
    for (const id of ids)
      for (let answer = await send(id); ; answer = await send(id)) {
        expect(service.alive(), 'the same process').to.equal(true);
        if (answer.status === 201) {
          acknowledge(id, answer);
          break;
        }
        expectRefusal(answer);
        if (performance.now() > end) throw new Error('nothing was recorded within 90 s');
        await pause(100);
      }
    expect((await get('/readyz')).status).to.equal(200);
  };

  it('tables that cannot grow: 507 that says so, reads go on, nothing refused is stored, and it recovers', async () => {
    const known = fresh();
    acknowledge(known, await send(known));
    const refused = await refusals(40);
    expect([...refused.values()]).to.include('out-of-space');
    expect((await get(`/v1/provenance/receipts/${known}`)).status).to.equal(200);
    expect((await get('/healthz')).status).to.equal(200);
    const lines = await client.ask(service.url, {
      path: '/v1/receipts',
      token: token(),
      type: 'application/x-ndjson',
      body: Array.from({ length: 300 }, () => JSON.stringify(receiptOf(fresh()))).join('\n'),
    });
    const results = lines.body
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as LineResult);
    for (const { id, status, problem } of results)
      if (problem) expect(problem.code).to.be.oneOf(REFUSALS);
      else expect([status, id]).to.include('recorded');
    expect(results.map(({ problem }) => problem?.code)).to.include('out-of-space');
    const recorded = results.filter(({ problem }) => !problem).map(({ id }) => id);
    disk.empty();
    await site.withStore(async (store) => {
      for (const [id, code] of refused)
        if (code === 'out-of-space')
          expect(await store.find(ACME, claimId(ACME, id)), id).to.equal(undefined);
    });
    await recovers([...refused.keys(), ...recorded]);
  });

  /** Log alone, and no table, until there is no room for another segment of it. */
  const expectDeath = async (owner: Pool): Promise<void> => {
    for (let mib = 0; mib < DISK_MIB; mib += 1)
      try {
        await owner.query(`SELECT pg_logical_emit_message(true, 'test', repeat('x', 1 << 20))`);
      } catch (error) {
        // Its last word to the session is the reason; to the next one it says nothing.
        const { code } = streamError(error);
        if (code === 'unavailable') return;
        expect(code).to.equal('out-of-space');
      }
    throw new Error(`${DISK_MIB} MiB of log went onto a full disk`);
  };

  it('a log that cannot grow, on which PostgreSQL ends itself: 503 in time, and all goes on when there is room', async () => {
    const owner = connect({ url: site.server.url, max: 1 });
    disk.fill();
    await expectDeath(owner);
    await owner.end();
    const refused = await refusals(8);
    await recovers(refused.keys());
  });

  it('leaves a sound ledger: each acknowledged receipt once and no other, in the read model too', async () => {
    for (const id of acknowledged.keys()) acknowledge(id, await send(id));
    const ids = [...acknowledged.keys()].map((id) => ({ tenant: ACME, id: claimId(ACME, id) }));
    const { facts } = await site.sound({ acknowledged: ids });
    // Three tenants with a token each.
    expect(facts).to.equal(6 + acknowledged.size);
    const owner = connect({ url: site.server.url, max: 1 });
    await using _closing = { [Symbol.asyncDispose]: () => owner.end() };
    for (let look = 0; ; look += 1) {
      const { rows } = await owner.query('SELECT count(*)::int AS n FROM views.receipts');
      if (rows[0]?.n === acknowledged.size) return;
      if (look === 300) expect(rows[0]?.n).to.equal(acknowledged.size);
      await pause(100);
    }
  });
});

interface LineResult {
  readonly id: string;
  readonly status: string;
  readonly problem?: { readonly code: string };
}
