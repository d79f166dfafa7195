// GET /ledger/{tenant}/export and /events over a real socket: downloaded, verified offline, cut off, left half-way.
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { exportVerifier } from '#proofs/export.ts';
import { keysFromJwks } from '#proofs/keys/public-key.ts';
import { tokenId } from '#schemas/tenants.ts';
import { StreamError } from '#streams/errors.ts';
import type { StreamStore } from '#streams/stream.ts';
import { acme, codeOf, type GatewayUnderTest, openGateway, receipt } from './gateway-under-test.ts';

const FACTS = 900;
/** Together more than sockets and streams hold: whoever does not read keeps the rest from being read. */
const FILLING = 'x'.repeat(20_000);

const filled = async (under: GatewayUnderTest, token: string, facts: number, filling = ''): Promise<void> => {
  const lines = Array.from({ length: facts }, () => JSON.stringify(receipt({ inputs: { filling } })));
  const headers = { 'content-type': 'application/x-ndjson' };
  for (let at = 0; at < facts; at += 300)
    await under.post(token, lines.slice(at, at + 300).join('\n'), headers);
};

const open = async (base: string, path: string, token: string): Promise<IncomingMessage> => {
  const sent = request(`${base}${path}`, { headers: { authorization: `Bearer ${token}` } });
  sent.on('error', () => undefined);
  sent.end();
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  return answer;
};

/** However it ends. */
const closed = async (answer: IncomingMessage): Promise<void> => {
  const { promise, resolve } = Promise.withResolvers<void>();
  answer.on('error', () => undefined).once('close', resolve);
  await promise;
};

const until = async (holds: () => boolean): Promise<boolean> => {
  for (let tries = 0; tries < 200 && !holds(); tries += 1) await pause(25);
  return holds();
};

/** A store that says how far it was read, and whether the reading was ended. */
const watchedReads = () => {
  const reads = { pages: 0, ended: 0, revoke: undefined as (() => Promise<void>) | undefined };
  const wrap = (store: StreamStore): StreamStore => ({
    ...store,
    read: async function* (...of) {
      try {
        for await (const page of store.read(...of)) {
          reads.pages += 1;
          if (reads.pages === 2) await reads.revoke?.();
          yield page;
        }
      } finally {
        reads.ended += 1;
      }
    },
  });
  return { reads, wrap };
};

describe('gateway/http: export', function () {
  this.timeout(60_000);

  it('what is downloaded verifies offline, whole and in part, and a changed byte does not', async () => {
    await using under = await openGateway();
    const token = await under.token();
    await filled(under, token, 450);
    const base = await under.gateway.listen({ host: '127.0.0.1', port: 0 });
    const verify = (text: string) => {
      const verifier = exportVerifier(keysFromJwks(under.jwks));
      for (const line of text.trimEnd().split('\n')) {
        const fault = verifier.line(line);
        if (fault) return fault.code;
      }
      const ended = verifier.end();
      return 'code' in ended ? ended.code : ended.facts;
    };
    const head = (await under.store.head(acme))?.seq ?? 0;
    for (const [query, facts] of [
      ['', head],
      ['?from=7', head - 6],
      ['?from=100&to=333', 234],
      ['?to=1', 1],
    ] as const) {
      const answer = await fetch(`${base}/v1/ledger/acme/export${query}`, {
        headers: { authorization: `Bearer ${token}` },
      });
      expect(answer.status).to.equal(200);
      expect(answer.headers.get('content-type')).to.equal('application/x-ndjson; charset=utf-8');
      expect(answer.headers.get('content-disposition')).to.match(
        /^attachment; filename="acme-\d+-\d+\.ndjson"$/,
      );
      const text = await answer.text();
      expect(verify(text), query).to.equal(facts);
      expect(verify(text.replace('alice', 'alicf')), query).to.equal(
        text.includes('alice') ? 'hash-mismatch' : facts,
      );
      expect(verify(text.slice(0, text.lastIndexOf('\n{"end"')))).to.equal('cut-off');
    }
  });

  it('a range that there is not, and one of another tenant, are refused before anything is sent', async () => {
    await using under = await openGateway();
    const token = await under.token();
    for (const [path, code] of [
      ['/v1/ledger/acme/export?from=3&to=2', 'query-malformed'],
      ['/v1/ledger/acme/export?to=99', 'query-malformed'],
      ['/v1/ledger/acme/export?from=0', 'query-malformed'],
      ['/v1/ledger/acme/export?form=1', 'query-malformed'],
      ['/v1/ledger/globex/export', 'other-tenant'],
      ['/v1/ledger/nowhere/export', 'other-tenant'],
    ] as const)
      expect(codeOf(await under.get(token, path)), path).to.equal(code);
  });

  for (const path of ['/v1/ledger/acme/export', '/v1/ledger/acme/events']) {
    it(`${path}: nothing is read ahead of a client that does not take it, nor after it has left`, async () => {
      const { reads, wrap } = watchedReads();
      await using under = await openGateway(wrap);
      const token = await under.token();
      await filled(under, token, FACTS, FILLING);
      const base = await under.gateway.listen({ host: '127.0.0.1', port: 0 });
      reads.pages = 0;
      const answer = await open(base, path, token);
      answer.once('data', () => answer.pause());
      expect(await until(() => reads.pages > 0)).to.equal(true);
      await pause(300);
      const whole = Math.ceil((FACTS + 2) / 200);
      expect(reads.pages, 'pages read for a client that holds still').to.be.lessThan(whole);
      const before = reads.ended;
      answer.destroy();
      expect(await until(() => reads.ended > before), 'the reading ends').to.equal(true);
      expect(reads.pages).to.be.lessThan(whole);
      expect(under.faults).to.deep.equal([]);
    });

    it(`${path}: a token that is revoked meanwhile reads no further`, async () => {
      const { reads, wrap } = watchedReads();
      await using under = await openGateway(wrap);
      const token = await under.token();
      await filled(under, token, FACTS);
      const base = await under.gateway.listen({ host: '127.0.0.1', port: 0 });
      reads.pages = 0;
      reads.revoke = async () => {
        await under.command(acme, { type: 'RevokeToken', tokenId: tokenId(token.split('.')[1] as string) });
        await pause(1_100);
      };
      const answer = await open(base, path, token);
      const text: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => text.push(chunk));
      await closed(answer);
      expect(answer.complete, 'the answer was cut off').to.equal(false);
      expect(Buffer.concat(text).toString()).to.not.include('"end"');
      expect(reads.pages).to.equal(2);
      expect(under.faults).to.deep.equal([]);
    });
  }

  it('a store that fails at once is a problem; one that fails later cuts the answer off, and is told of', async () => {
    let failAt = 0;
    await using under = await openGateway((store) => ({
      ...store,
      read: async function* (...of) {
        let page = 0;
        for await (const facts of store.read(...of)) {
          if (page++ === failAt) throw new StreamError('unavailable', 'gone');
          yield facts;
        }
      },
    }));
    const token = await under.token();
    await filled(under, token, FACTS);
    expect(codeOf(await under.get(token, '/v1/ledger/acme/events'))).to.equal('store-unavailable');
    expect(under.faults).to.have.lengthOf(1);
    failAt = 2;
    const base = await under.gateway.listen({ host: '127.0.0.1', port: 0 });
    const answer = await open(base, '/v1/ledger/acme/export', token);
    answer.resume();
    await closed(answer);
    expect(answer.complete).to.equal(false);
    expect(under.faults).to.have.lengthOf(2);
  });
});

describe('gateway/http: conditional requests', () => {
  let under: GatewayUnderTest;
  let token: string;
  before(async () => {
    under = await openGateway();
    token = await under.token();
    await filled(under, token, 3);
  });
  after(() => under[Symbol.asyncDispose]());

  const get = (path: string, known?: string) =>
    under.gateway.inject({
      method: 'GET',
      path,
      headers: { authorization: `Bearer ${token}`, ...(known !== undefined && { 'if-none-match': known }) },
    });

  for (const [path, control] of [
    ['/v1/ledger/acme/head', 'private, no-cache'],
    ['/v1/ledger/acme/events', 'private, no-cache'],
    ['/v1/ledger/acme/events?from=2&to=3', 'private, max-age=31536000, immutable'],
    ['/v1/ledger/acme/export', 'private, no-cache'],
    ['/v1/ledger/acme/export?to=3', 'private, no-cache'],
    ['/.well-known/jwks.json', 'public, max-age=300'],
    ['/openapi.json', 'public, max-age=300'],
    ['/docs', 'public, max-age=300'],
    ['/problems', 'public, max-age=300'],
    ['/problems/overloaded', 'public, max-age=300'],
  ] as const) {
    it(`${path} has a tag, and is not sent again to whoever names it`, async () => {
      const whole = await get(path);
      expect(whole.status).to.equal(200);
      expect(whole.headers['cache-control']).to.equal(control);
      const tag = String(whole.headers['etag']);
      expect(tag).to.match(/^"[0-9a-f]{32,64}"$/);
      const again = await get(path, `"other", W/${tag}`);
      expect([again.status, again.body, again.headers['etag']]).to.deep.equal([304, '', tag]);
      expect((await get(path, '"other"')).body).to.equal(whole.body);
    });
  }

  it('what grows has another tag once it has grown; what has an end keeps its own', async () => {
    const tags = async () => {
      const all = ['head', 'events', 'export', 'events?to=3', 'export?to=3'].map((each) =>
        get(`/v1/ledger/acme/${each}`),
      );
      return (await Promise.all(all)).map(({ headers }) => headers['etag']);
    };
    const before = await tags();
    expect(new Set(before).size).to.equal(before.length);
    await under.post(token, receipt());
    const after = await tags();
    expect(after.map((tag, index) => tag === before[index])).to.deep.equal([false, false, false, true, true]);
  });
});
