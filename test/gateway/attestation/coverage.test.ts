import { expect } from 'chai';
import { attestationCoverage } from '#gateway/attestation/coverage.ts';
import { routes, type Service } from '#gateway/http/routes.ts';
import { catalog, type Mapping } from '#projectors/attestation/catalog.ts';
import { domains } from '#schemas/index.ts';

const all = { routes: routes({} as Service), domains, catalog };

describe('gateway/attestation/coverage', () => {
  it('has every write of the registries in it, each covered or named', () => {
    const { operations, covered, uncovered } = attestationCoverage(all);
    const posts = all.routes.filter(({ method, about }) => method === 'POST' && about.id !== 'verifyReceipt');
    const types = domains.flatMap(({ events }) => Object.keys(events));
    expect(operations).to.have.length(posts.length + types.length);
    expect(covered + uncovered.length).to.equal(operations.length);
    expect(uncovered).to.include('tenants.TokenIssued').and.not.to.include('receipts.ReceiptRecorded');
    expect(uncovered.some((each) => each.startsWith('recordReceipts'))).to.equal(false);
  });
  it('cuts its share off', () => {
    const one = { about: { id: 'recordReceipts' }, method: 'POST', path: '/receipts' } as never;
    const other = { about: { id: 'x' }, method: 'POST', path: '/x' } as never;
    const domain = { events: { 'receipts.ReceiptRecorded': undefined as never } };
    expect(attestationCoverage({ routes: [one, other], domains: [domain], catalog }).percent).to.equal(66);
    expect(attestationCoverage({ routes: [], domains: [], catalog: [] }).percent).to.equal(0);
  });
  it('falls when a mapping goes, and fails on one that covers nothing', () => {
    expect(attestationCoverage({ ...all, catalog: [] }).percent).to.equal(0);
    const stale: Mapping = { ...(catalog[0] as Mapping), operations: ['recordRecipts'] };
    expect(() => attestationCoverage({ ...all, catalog: [stale] })).to.throw(/recordRecipts/);
  });
});
