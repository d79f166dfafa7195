import { expect } from 'chai';
import { OTHER, topTenants } from '#deploy/telemetry/top-tenants.ts';

describe('deploy/telemetry/top-tenants', () => {
  it('names no more than it may, whatever 10,000 tenants do', () => {
    const live = new Set<string>();
    let most = 0;
    const top = topTenants(20, (tenant) => live.delete(tenant));
    for (let round = 0; round < 10; round += 1) {
      for (let index = 0; index < 10_000; index += 1) {
        const label = top.label(`tenant-${index}`, 1 + ((index * 7 + round) % 13));
        if (label !== OTHER) live.add(label);
        most = Math.max(most, live.size);
      }
    }
    expect(most).to.equal(20);
  });

  it('gives a busy latecomer the name of one that became quiet', () => {
    const dropped: string[] = [];
    const top = topTenants(2, (tenant) => dropped.push(tenant));
    top.label('early', 5);
    top.label('busy', 5_000);
    expect(top.label('late', 1)).to.equal(OTHER);
    for (let index = 0; index < 30; index += 1) top.label('late', 1_000);
    expect(top.label('late', 1)).to.equal('late');
    expect(dropped).to.deep.equal(['early']);
    expect(top.label('early', 1)).to.equal(OTHER);
  });

  it('names none when told so, and never one that is called as the rest', () => {
    expect(topTenants(0, () => undefined).label('acme', 1)).to.equal(OTHER);
    const seen: string[] = [];
    const top = topTenants(1, (tenant) => seen.push(tenant));
    top.label(OTHER, 1_000_000);
    expect(top.label('acme', 1)).to.equal('acme');
    expect(seen).to.deep.equal([]);
  });
});
