// The same key and body, across processes, across deaths, for ever: the first answer, whoever gives it.
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { claimId } from '#commands/run.ts';
import { tenantId } from '#schemas/ids.ts';
import { type Answer, type HttpClient, httpClient, problemCode, sameOf } from './http-client.ts';
import { killServer, openSite, type Service, type Site } from './site.ts';
import { type TcpProxy, tcpProxy, through } from './tcp-proxy.ts';

const ACME = tenantId('acme');
const BARE = { action: 'db.export', actor: 'alice', decision: 'allow' };
const NDJSON = 'application/x-ndjson';
// Few enough to be stored by one statement: a COPY waits for a word of the server, which does not come.
const LINES = 20;
const REMEMBERED_MS = 1_200;
const SETTLED_MS = 250;
const TRIES = 4;

describe('the first answer, for ever', function () {
  this.timeout(120_000);
  let site: Site;
  let proxy: TcpProxy;
  let client: HttpClient;
  /** Behind the proxy. */
  let exposed: Service;
  let other: Service;
  let sentBefore = 0;

  before(async () => {
    site = await openSite();
    proxy = await tcpProxy({ port: site.server.connection.port });
    client = httpClient();
    exposed = await site.service({ databaseUrl: through(proxy, site.databaseUrl) });
    other = await site.service();
  });
  after(async () => {
    client?.[Symbol.dispose]();
    await site?.[Symbol.asyncDispose]();
    await proxy?.[Symbol.asyncDispose]();
  });

  interface Sending {
    readonly key?: string;
    readonly type?: string;
  }
  const post = (service: Service, body: unknown, { key, type }: Sending = {}): Promise<Answer> =>
    client.ask(service.url, {
      path: '/v1/receipts',
      token: site.tokens.get(ACME) ?? '',
      body: typeof body === 'string' ? body : JSON.stringify(body),
      ...(type !== undefined && { type }),
      ...(key !== undefined && { headers: { 'idempotency-key': key } }),
    });
  const isStored = (id: string): Promise<boolean> =>
    site.withStore(async (store) => (await store.find(ACME, claimId(ACME, id))) !== undefined);
  const startAnew = async (): Promise<void> => {
    await exposed.kill();
    proxy.turn('open');
    exposed = await site.service({ databaseUrl: through(proxy, site.databaseUrl) });
  };
  const storedSoon = async (id: string): Promise<boolean> => {
    for (let looks = 0; looks < 200; looks += 1) {
      if (await isStored(id)) return true;
      await pause(20);
    }
    return false;
  };
  /** Sends it, lets it be stored, and kills the process while the database's answer is on its way. */
  const killBetweenCommitAndReply = async (id: string, send: () => Promise<Answer>): Promise<void> => {
    for (let tries = 0; tries < TRIES; tries += 1) {
      // Admission and the store remember for a second what they need to know. What they know is let grow too old, and asked
      // anew by the first; the next one goes straight to its commit, for which a number has come by then.
      await pause(REMEMBERED_MS);
      await post(exposed, BARE, { key: `before-${id}-${tries}` });
      sentBefore += 1;
      await pause(SETTLED_MS);
      proxy.turn('one-way');
      const lost = send().then(
        (answer) => new Error(`answered with ${answer.status} ${answer.body}`),
        () => undefined,
      );
      const isThere = await storedSoon(id);
      await startAnew();
      expect(await lost, 'nobody got an answer').to.equal(undefined);
      // On a crowded machine it may have had to ask something first, whose answer did not come either.
      if (isThere) return;
    }
    throw new Error(`${id} was not stored`);
  };

  it('a process killed between commit and reply: another one and its successor give one and the same answer', async () => {
    await killBetweenCommitAndReply('lost-1', () => post(exposed, BARE, { key: 'lost-1' }));
    const answers = [
      await post(other, BARE, { key: 'lost-1' }),
      await post(exposed, BARE, { key: '"lost-1"' }),
      await post(other, { decision: 'allow', actor: 'alice', action: 'db.export' }, { key: 'lost-1' }),
    ];
    expect(answers[0]?.status).to.equal(201);
    for (const answer of answers) {
      expect(answer.headers['idempotent-replayed']).to.equal('true');
      expect(sameOf(answer)).to.equal(sameOf(answers[0] as Answer));
    }
  });

  it('another body under its key is a conflict in each of them, and names the first', async () => {
    const { fact } = JSON.parse((await post(other, BARE, { key: 'lost-1' })).body);
    for (const service of [exposed, other])
      for (const body of [
        { ...BARE, decision: 'deny' },
        { ...BARE, id: 'lost-1' },
      ]) {
        const answer = await post(service, body, { key: 'lost-1' });
        expect([answer.status, problemCode(answer)]).to.deep.equal([409, 'receipt-id-taken']);
        expect(JSON.parse(answer.body).first).to.include({ seq: fact.seq, hash: fact.hash });
      }
  });

  it('a receipt with an id, and a key that says the same: found by either, alone or together', async () => {
    const receipt = { ...BARE, id: 'both-1' };
    await killBetweenCommitAndReply('both-1', () => post(exposed, receipt, { key: 'both-1' }));
    const first = await post(other, receipt);
    expect(first.status).to.equal(201);
    expect(sameOf(await post(exposed, receipt, { key: 'both-1' }))).to.equal(sameOf(first));
    expect(problemCode(await post(exposed, receipt, { key: 'both-2' }))).to.equal('idempotency-key-differs');
  });

  it('a batch: each line is found again, also one by one and in another batch', async () => {
    const lines = Array.from({ length: LINES }, (_, index) => ({ ...BARE, id: `line-${index}` }));
    const body = lines.map((line) => JSON.stringify(line)).join('\n');
    await killBetweenCommitAndReply('line-0', () => post(exposed, body, { type: NDJSON }));
    const resultsOf = ({ body: text }: Answer) =>
      text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    // One commit was on its way when the process died; lines of another may not have been sent.
    const next = resultsOf(await post(other, body, { type: NDJSON }));
    expect(next[0]?.['status']).to.equal('repeated');
    const [again, elsewhere] = await Promise.all(
      [exposed, other].map(async (service) => resultsOf(await post(service, body, { type: NDJSON }))),
    );
    expect(again).to.deep.equal(next.map((result) => ({ ...result, status: 'repeated' })));
    expect(elsewhere).to.deep.equal(again);
    const single = JSON.parse((await post(other, lines[7])).body);
    expect([single.fact.seq, single.fact.hash]).to.deep.equal([again?.[7]?.['seq'], again?.[7]?.['hash']]);
    const changed = lines.map((line, index) =>
      JSON.stringify(index === 3 ? { ...line, actor: 'eve' } : line),
    );
    const mixed = resultsOf(await post(other, changed.join('\n'), { type: NDJSON }));
    expect(
      mixed.filter(({ status }) => status !== 'repeated').map(({ line, status }) => [line, status]),
    ).to.deep.equal([[4, 'conflict']]);
  });

  it('is the same after everything was killed and started again', async () => {
    const before = await post(other, BARE, { key: 'lost-1' });
    await exposed.kill();
    await other.kill();
    await killServer(site.server);
    other = await site.service();
    expect(sameOf(await post(other, BARE, { key: 'lost-1' }))).to.equal(sameOf(before));
  });

  it('leaves a sound ledger, with each receipt in it once', async () => {
    const { facts } = await site.sound();
    // Three tenants with a token each; what was sent before; lost-1, both-1 and the lines.
    expect(facts).to.equal(6 + sentBefore + 2 + LINES);
  });
});
