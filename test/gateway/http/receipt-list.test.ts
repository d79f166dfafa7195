import { expect } from 'chai';
import { codeOf, type GatewayUnderTest, globex, openGateway, receipt } from './gateway-under-test.ts';

interface Page {
  readonly receipts: readonly { readonly id: string; readonly seq: number; readonly href: string }[];
  readonly next_cursor?: string;
  readonly as_of_seq: number;
}

const ids = ({ receipts }: Page) => receipts.map(({ id }) => id);

describe('gateway/http: GET /receipts', () => {
  let under: GatewayUnderTest;
  let token: string;

  before(async () => {
    under = await openGateway();
    token = await under.token();
    for (let n = 0; n < 7; n += 1)
      await under.post(
        token,
        receipt({
          id: `r-${n}`,
          actor: n % 2 ? 'alice' : 'bob',
          action: n < 4 ? 'db.export' : 'db.drop',
          decision: n % 3 ? 'allow' : 'deny',
          created_at: `2026-11-2${n}T00:00:00Z`,
          ...(n === 5 && { op_id: 'op-5', evidence_hash: `sha256:${'a'.repeat(64)}` }),
        }),
      );
  });
  after(() => under[Symbol.asyncDispose]());

  const list = async (query: string, as = token): Promise<Page> => {
    const answer = await under.get(as, `/v1/receipts${query}`);
    expect(answer.status, answer.body).to.equal(200);
    return JSON.parse(answer.body) as Page;
  };

  for (const [query, expected] of [
    ['', [6, 5, 4, 3, 2, 1, 0]],
    ['?order=oldest', [0, 1, 2, 3, 4, 5, 6]],
    ['?actor=alice', [5, 3, 1]],
    ['?action=db.drop&actor=bob', [6, 4]],
    ['?decision=deny', [6, 3, 0]],
    ['?op_id=op-5', [5]],
    [`?evidence_hash=sha256:${'a'.repeat(64)}`, [5]],
    ['?created_from=2026-11-22T00:00:00Z&created_before=2026-11-24T00:00:00Z', [3, 2]],
    ['?created_from=2026-11-22T01:00:00%2B01:00&limit=2&order=oldest', [2, 3]],
    ['?actor=nobody', []],
  ] as const) {
    it(`filters: ${query}`, async () => {
      expect(ids(await list(query))).to.deep.equal(expected.map((n) => `r-${n}`));
    });
  }

  it('pages stay what they are while receipts are recorded', async () => {
    const theirs = await under.token({ tenant: globex });
    for (let n = 0; n < 5; n += 1) await under.post(theirs, receipt({ id: `g-${n}`, tenant: 'globex' }));
    const first = await list('?limit=2', theirs);
    expect(ids(first)).to.deep.equal(['g-4', 'g-3']);
    await under.post(theirs, receipt({ id: 'g-late', tenant: 'globex' }));
    const second = await list(`?limit=2&cursor=${first.next_cursor}`, theirs);
    expect(ids(second)).to.deep.equal(['g-2', 'g-1']);
    const last = await list(`?limit=9&cursor=${second.next_cursor}`, theirs);
    expect(ids(last)).to.deep.equal(['g-0']);
    expect(last).to.not.have.property('next_cursor');
    expect(last.as_of_seq).to.be.greaterThan(first.as_of_seq);
    // A cursor of one tenant opens nothing of another.
    expect(
      ids(await list(`?cursor=${first.next_cursor}`)).filter((id) => !id.startsWith('r-')),
    ).to.deep.equal([]);
  });

  it('an exact last page has no next one', async () => {
    expect(await list('?actor=alice&limit=3')).to.not.have.property('next_cursor');
  });

  it('refuses what it does not understand, and a cursor of another question', async () => {
    const { next_cursor: cursor } = await list('?limit=1&actor=alice');
    for (const [query, parameter] of [
      ['?actr=alice', 'actr'],
      ['?actor=alice&actor=bob', 'actor'],
      ['?limit=0', 'limit'],
      ['?limit=501', 'limit'],
      ['?limit=1.5', 'limit'],
      ['?decision=maybe', 'decision'],
      ['?created_from=yesterday', 'created_from'],
      ['?created_from=2026-02-30T00:00:00Z', 'created_from'],
      ['?order=random', 'order'],
      ['?cursor=!', 'cursor'],
      ['?cursor=AAAAAAAAAAAA', 'cursor'],
      [`?cursor=${cursor}`, 'cursor'],
      [`?cursor=${cursor}&actor=alice&order=oldest`, 'cursor'],
    ] as const) {
      const answer = await under.get(token, `/receipts${query}`);
      expect(codeOf(answer), query).to.equal('query-malformed');
      expect(JSON.parse(answer.body).errors[0].parameter, query).to.equal(parameter);
    }
  });

  it('leads to each receipt', async () => {
    const [first] = (await list('?limit=1')).receipts;
    expect((await under.get(token, first?.href ?? '')).status).to.equal(200);
  });
});

describe('gateway/http: what never changes', () => {
  let under: GatewayUnderTest;
  let token: string;
  before(async () => {
    under = await openGateway();
    token = await under.token();
    await under.post(token, receipt({ id: 'r-1' }));
  });
  after(() => under[Symbol.asyncDispose]());

  const get = (path: string, known?: string) =>
    under.gateway.inject({
      method: 'GET',
      path,
      headers: { authorization: `Bearer ${token}`, ...(known !== undefined && { 'if-none-match': known }) },
    });

  it('has a tag, and is not sent again to whoever names it', async () => {
    for (const path of ['/provenance/receipts/r-1', '/provenance/receipts/r-1/proof']) {
      const whole = await get(path);
      const tag = String(whole.headers['etag']);
      expect(tag).to.match(/^"[0-9a-f]{64}"$/);
      for (const known of [tag, `W/${tag}`, '*', `"x", ${tag}`]) {
        const { status, body, headers } = await get(path, known);
        expect([status, body, headers['etag']], known).to.deep.equal([304, '', tag]);
      }
      for (const known of ['"x"', tag.slice(1, -1), ''])
        expect((await get(path, known)).body).to.equal(whole.body);
    }
  });

  it('is not confirmed to whoever may not see it', async () => {
    expect((await get('/provenance/receipts/none', '*')).status).to.equal(404);
    token = await under.token({ tenant: globex });
    expect((await get('/provenance/receipts/r-1', '*')).status).to.equal(404);
  });

  it('the proof alone is the one of the receipt', async () => {
    token = await under.token();
    const { proof } = JSON.parse((await get('/provenance/receipts/r-1')).body) as { readonly proof: object };
    expect(JSON.parse((await get('/provenance/receipts/r-1/proof')).body)).to.deep.equal(proof);
  });
});
