import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { receiptMalformed } from '#gateway/http/problem-causes.ts';
import { problemDocument } from '#gateway/http/problem-document.ts';
import { catalogue, type ProblemCode, problem } from '#gateway/http/problems.ts';
import { StreamError, type StreamErrorCode } from '#streams/errors.ts';
import { acme, openGateway, receipt } from './gateway-under-test.ts';

const STORE_FAILURES: readonly (readonly [
  StreamErrorCode,
  ProblemCode,
  status: number,
  retryAfter: string | undefined,
])[] = [
  ['unavailable', 'store-unavailable', 503, '2'],
  ['in-doubt', 'outcome-unknown', 503, '2'],
  ['overloaded', 'overloaded', 503, '1'],
  ['out-of-space', 'out-of-space', 507, '60'],
  ['corrupt', 'store-corrupt', 500, undefined],
  ['schema-mismatch', 'store-mismatch', 503, '30'],
  ['forbidden', 'store-mismatch', 503, '30'],
  ['closed', 'shutting-down', 503, '1'],
  ['unexpected', 'internal-error', 500, undefined],
];

describe('gateway/http: problems', () => {
  it('each say what happened and what to do, with a status of their own', () => {
    for (const [code, entry] of Object.entries(catalogue)) {
      expect(code).to.match(/^[a-z]+(-[a-z0-9]+)*$/);
      expect(entry.status, code).to.be.within(400, 599);
      expect(entry.title, code).to.match(/^[A-Z].{8,}[^.]$/);
      expect(entry.todo, code).to.match(/^[A-Z].{8,}\.$/);
      if (entry.status === 503) expect(entry, code).to.have.property('retryAfter');
    }
  });

  it('all stand in docs/operations/http.md with their status, and so do the routes', async () => {
    const page = readFileSync(new URL('../../../docs/operations/http.md', import.meta.url), 'utf8');
    const rows = [...page.matchAll(/`([a-z0-9-]+)` \| (\d{3})/g)].map(([, code, status]) => [
      code,
      Number(status),
    ]);
    const codes = Object.entries(catalogue).map(([code, { status }]) => [code, status]);
    expect(rows).to.have.deep.members(codes);
    await using under = await openGateway();
    for (const { method, path, guard } of under.gateway.routes) {
      if (method === 'HEAD' || ('open' in guard && guard.open.startsWith('names the methods'))) continue;
      const row = `| \`${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}\` | ${'scope' in guard ? `\`${guard.scope}\`` : 'open'} |`;
      expect(page).to.contain(row);
    }
  });

  it('are RFC 9457 documents', () => {
    expect(problemDocument(problem('scope-missing', 'why', { scope: 'ledger:read' }), 'r1')).to.deep.equal({
      type: 'urn:prov-ledger:problem:scope-missing',
      title: catalogue['scope-missing'].title,
      status: 403,
      detail: 'why',
      todo: catalogue['scope-missing'].todo,
      instance: 'urn:prov-ledger:request:r1',
      code: 'scope-missing',
      scope: 'ledger:read',
    });
  });

  it('point at members the way RFC 6901 section 6 writes it', () => {
    const { members } = receiptMalformed([{ pointer: '/a~1b/ü "x"', message: 'is wrong' }]);
    expect(members?.['errors']).to.deep.equal([{ pointer: '#/a~1b/%C3%BC%20%22x%22', detail: 'is wrong' }]);
  });

  for (const [code, expected, status, retryAfter] of STORE_FAILURES) {
    it(`a store that is ${code} is ${expected} (${status}), and says nothing of its insides`, async () => {
      const inside = 'INSERT INTO ledger.facts failed at 10.0.0.7:5432';
      await using under = await openGateway((store) => ({
        ...store,
        append: () => Promise.reject(new StreamError(code, inside, { cause: new Error('cause') })),
      }));
      const answer = await under.post(await under.token(), receipt({ action: 'the-payload' }));
      expect(answer.status).to.equal(status);
      expect(JSON.parse(answer.body)).to.include({ code: expected, status });
      expect(answer.headers['retry-after']).to.equal(retryAfter);
      expect(answer.headers['content-type']).to.equal('application/problem+json; charset=utf-8');
      expect(answer.body).to.not.match(/INSERT|10\.0\.0\.7|cause|the-payload|\.ts:/);
      expect(under.faults).to.have.lengthOf(1);
    });
  }

  it('a defect of ours is internal-error, and its story goes to the operator only', async () => {
    const defect = new RangeError('secret-detail');
    await using under = await openGateway((store) => ({ ...store, head: () => Promise.reject(defect) }));
    const answer = await under.get(await under.token(), '/ledger/acme/head');
    expect(answer.status).to.equal(500);
    expect(JSON.parse(answer.body)).to.include({ code: 'internal-error' });
    expect(answer.body).to.not.contain('secret');
    expect(under.faults).to.deep.equal([defect]);
  });

  it('a token of a tenant that the store does not have is refused', async () => {
    await using under = await openGateway((store) => ({
      ...store,
      append: async () => ({ kind: 'no-such-tenant' }),
    }));
    const answer = await under.post(await under.token({ tenant: acme }), receipt());
    expect(JSON.parse(answer.body)).to.include({ code: 'token-refused', status: 401 });
  });
});
