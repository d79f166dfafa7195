import { expect } from 'chai';
import { attestationCoverage } from '#gateway/attestation/coverage.ts';
import { routeTable } from '#gateway/http/routes.ts';
import { catalog, type Mapping } from '#projectors/attestation/catalog.ts';
import { domains } from '#schemas/index.ts';

const all = { routes: routeTable(), domains, catalog };
const posts = all.routes.filter(({ method }) => method === 'POST');

describe('gateway/attestation/coverage', () => {
  it('covers every write of the registries', () => {
    const { operations, covered, percent, uncovered, recordNothing } = attestationCoverage(all);
    const types = domains.flatMap(({ events }) => Object.keys(events));
    expect(operations).to.have.length(posts.length - recordNothing.length + types.length);
    expect(uncovered).to.deep.equal([]);
    expect([covered, percent]).to.deep.equal([operations.length, 100]);
    const routeOf = (name: string) => operations.find(({ operation }) => operation.startsWith(name))?.route;
    expect(routeOf('recordReceipts')).to.equal('receipts');
    expect(routeOf('issueToken')).to.equal('changes');
  });
  it('asks every operation what it records, and counts none that records nothing', () => {
    for (const { about } of posts) expect(about.records, about.id).to.be.an('array');
    expect(attestationCoverage(all).recordNothing.map((each) => each.split(' ')[0])).to.have.members([
      'verifyReceipt',
      'verifyProjection',
      'rollbackProjection',
      'dropOldProjection',
      'cancelProjectionJob',
      'pauseProjection',
      'resumeProjection',
    ]);
  });
  it('names what is not covered, one that does not say what it records among them, and cuts its share off', () => {
    const about = (id: string, records?: readonly string[]) =>
      ({ about: { id, records }, method: 'POST', path: `/${id}` }) as never;
    const domain = {
      events: { 'receipts.ReceiptRecorded': undefined as never, 'x.Done': undefined as never },
    };
    const [receipts] = catalog as readonly [Mapping];
    const { percent, uncovered } = attestationCoverage({
      routes: [
        about('one', ['receipts.ReceiptRecorded']),
        about('half', ['receipts.ReceiptRecorded', 'x.Done']),
        about('silent'),
        about('check', []),
      ],
      domains: [domain],
      catalog: [receipts],
    });
    expect(uncovered).to.deep.equal(['half (POST /half)', 'silent (POST /silent)', 'x.Done']);
    expect(percent).to.equal(40);
    expect(attestationCoverage({ routes: [], domains: [], catalog: [] }).percent).to.equal(0);
  });
  it('falls when a mapping goes, and fails on a type that nobody says', () => {
    const less = attestationCoverage({ ...all, catalog: catalog.slice(0, 1) });
    expect(less.percent).to.be.lessThan(10);
    expect(less.uncovered).to.include('tenants.TokenIssued');
    const [mapping] = catalog as readonly [Mapping];
    const stale: Mapping = { ...mapping, graph: { ...mapping.graph, handles: ['receipts.Recorded'] } };
    expect(() => attestationCoverage({ ...all, catalog: [stale] })).to.throw(/receipts\.Recorded/);
    const renamed = { about: { id: 'x', records: ['x.Gone'] }, method: 'POST', path: '/x' } as never;
    expect(() => attestationCoverage({ ...all, routes: [renamed] })).to.throw(/x names x\.Gone/);
  });
});
