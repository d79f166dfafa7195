// One tenant's token against another tenant's data, over every route that there is: whatever is put where, nothing of
// the other comes back, and nothing of it changes. A real socket, so that answers that never end are read as they come.
import { expect } from 'chai';
import fc from 'fast-check';
import { SCOPES } from '#gateway/http/tokens.ts';
import type { MountedRoute } from '#gateway/http/web.ts';
import { acme, type GatewayUnderTest, globex, openGateway, receipt } from './gateway-under-test.ts';

/** Stands in every fact of globex but its first; in none of acme's. */
const MARK = 'belongs-to-globex';
/** What each path takes, about globex as far as it says so. */
const body = ({ path }: MountedRoute, [value]: readonly string[]): string => {
  if (path === '/tenants') return JSON.stringify({ tenant: 'globex-2' });
  if (path.endsWith('/suspend') || path.endsWith('/revoke')) return JSON.stringify({ reason: 'intruder' });
  if (path.endsWith('/rename')) return JSON.stringify({ display_name: 'intruder' });
  if (path.endsWith('/pause')) return JSON.stringify({ reason: 'intruder' });
  if (path.endsWith('/skip')) return JSON.stringify({ tenant: 'globex', seq: 1, reason: 'intruder' });
  if (path.startsWith('/tenants/') || path.startsWith('/projections/')) return '{}';
  return JSON.stringify(receipt({ id: value, tenant: 'globex', actor: 'intruder' }));
};

/** How long an answer that does not end is listened to. */
const LISTEN_MS = 250;

interface Place {
  readonly route: MountedRoute;
  readonly values: readonly string[];
  readonly query: string;
  readonly header: readonly [string, string];
}

describe('gateway/http: isolation', function () {
  this.timeout(60_000);
  let under: GatewayUnderTest;
  let base: string;
  let ours: string;
  let theirs: string;
  /** Ids, hashes and places of facts of globex. */
  let known: readonly string[];
  /** What must never reach acme. */
  let secrets: readonly string[];

  before(async () => {
    under = await openGateway();
    base = await under.gateway.listen({ host: '127.0.0.1', port: 0 });
    // Scopes of operators too, as if somebody had given them to it by mistake.
    ours = await under.token({ tenant: acme, scopes: SCOPES });
    theirs = await under.token({ tenant: globex });
    const theirToken = theirs.split('.')[1] as string;
    await under.post(ours, receipt({ id: 'shared-id', actor: 'alice' }));
    const hashes: string[] = [];
    for (const id of ['shared-id', 'only-globex', 'git:globex/repo@1'])
      await under.post(theirs, receipt({ id, tenant: 'globex', actor: MARK, inputs: { secret: MARK } }));
    const facts: string[] = [];
    for await (const page of under.store.read(globex)) {
      for (const fact of page) {
        hashes.push(fact.hash);
        facts.push(fact.id, String(fact.seq));
      }
    }
    known = ['shared-id', 'only-globex', 'git:globex/repo@1', 'globex', theirToken, ...hashes, ...facts];
    secrets = [MARK, 'only-globex', theirToken, ...hashes];
  });
  after(() => under[Symbol.asyncDispose]());

  const send = async (
    token: string,
    { route, values, query, header }: Place,
  ): Promise<{ readonly status: number; readonly text: string }> => {
    const parts = values.values();
    const path = route.path.replaceAll(/:\w+|\*/g, () => encodeURIComponent(parts.next().value ?? 'x'));
    const ended = new AbortController();
    const timer = setTimeout(() => ended.abort(), LISTEN_MS);
    let text = '';
    let status = 0;
    try {
      const answer = await fetch(`${base}${path}${query}`, {
        method: route.method,
        signal: ended.signal,
        headers: { authorization: `Bearer ${token}`, [header[0]]: header[1] },
        ...(['POST', 'PUT', 'PATCH'].includes(route.method) && {
          body: body(route, values),
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        }),
      });
      status = answer.status;
      text = [...answer.headers].join('\n');
      for await (const chunk of answer.body ?? []) text += Buffer.from(chunk).toString('utf8');
    } catch (error) {
      if (!ended.signal.aborted) throw error;
    } finally {
      clearTimeout(timer);
    }
    return { status, text };
  };

  const guarded = (): readonly MountedRoute[] => under.gateway.routes.filter(({ guard }) => 'scope' in guard);

  const place = (): fc.Arbitrary<Place> => {
    const value = fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom(...known) },
      fc.constantFrom('../globex', 'globex/', 'GLOBEX', 'globex%00', 'acme,globex', '*', '%'),
      fc.string({ unit: 'binary', minLength: 1, maxLength: 12 }),
    );
    return fc.record({
      route: fc.constantFrom(...guarded()),
      values: fc.array(value, { minLength: 2, maxLength: 2 }),
      query: fc
        .option(
          fc.tuple(
            fc.constantFrom('tenant', 'from', 'after', 'cursor', 'id', 'actor', 'subject'),
            fc.constantFrom(...known),
          ),
          { nil: undefined },
        )
        .map((pair) => (pair ? `?${pair[0]}=${encodeURIComponent(pair[1])}` : '')),
      header: fc.constantFrom(
        ['x-tenant', 'globex'] as const,
        ['last-event-id', '1'] as const,
        ['last-event-id', 'globex:1'] as const,
        ['accept', '*/*'] as const,
      ),
    });
  };

  const readers = (): readonly MountedRoute[] =>
    under.gateway.routes.filter(({ method, path }) => method === 'GET' && path.endsWith('/:id'));

  const plain = (route: MountedRoute, ...values: readonly string[]): Place => ({
    route,
    values,
    query: '',
    header: ['accept', '*/*'],
  });

  it("another tenant's data never comes back, and never changes, over fuzzed places of every guarded route", async () => {
    const before = await under.store.head(globex);
    const statuses = new Map<string, Set<number>>();
    await fc.assert(
      fc.asyncProperty(place(), async (at) => {
        const { status, text } = await send(ours, at);
        const asked = `${at.route.method} ${at.route.path}`;
        statuses.set(asked, (statuses.get(asked) ?? new Set()).add(status));
        expect(status, asked).to.be.lessThan(500);
        // What was asked for may be quoted back.
        const quotable = [...at.values, at.query];
        for (const secret of secrets.filter((each) => !quotable.some((part) => part.includes(each))))
          expect(text, asked).to.not.include(secret);
        expect(text, asked).to.not.include(MARK);
      }),
      // Each route at least once, whatever is drawn.
      { numRuns: 400, examples: guarded().map((route) => [plain(route, 'only-globex', 'globex')]) },
    );
    expect([...statuses.keys()].length).to.equal(
      new Set(guarded().map(({ method, path }) => `${method} ${path}`)).size,
    );
    expect(await under.store.head(globex)).to.deep.equal(before);
    expect((await under.store.heads()).map(({ tenant }) => tenant)).to.have.members([acme, globex]);
  });

  it('every guarded route that names a tenant refuses another one, and an id of both is its own', async () => {
    for (const route of guarded()) {
      if (route.path.includes(':tenant')) {
        const { status } = await send(ours, plain(route, 'globex', '1'));
        expect(status, `${route.method} ${route.path}`).to.be.within(400, 499);
      }
    }
    const own = await Promise.all(readers().map((route) => send(ours, plain(route, 'shared-id'))));
    expect(own.some(({ status, text }) => status === 200 && text.includes('alice'))).to.equal(true);
    for (const { text } of own) expect(text).to.not.include(MARK);
  });

  it('the mark is found where it may be: by its own tenant', async () => {
    const found = await Promise.all(readers().map((route) => send(theirs, plain(route, 'only-globex'))));
    expect(found.some(({ text }) => text.includes(MARK))).to.equal(true);
  });
});
