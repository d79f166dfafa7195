import { expect } from 'chai';
import { faultsOf } from '#schemas/index.ts';

describe('schemas/flags', () => {
  const set = { feature: 'new-checkout', pct: 10, reason: 'the release' };
  const started = {
    feature: 'new-checkout',
    ramp_id: 'r-1',
    from_pct: 0,
    steps: [10, 50, 100],
    hold_seconds: 3_600,
    age_max_seconds: 300,
    samples_min: 1_000,
    error_ppm_max: 10_000,
    added_ppm_max: 1_000,
    canaries: ['globex'],
    dry_run: false,
  };
  const observed = {
    feature: 'new-checkout',
    ramp_id: 'r-1',
    of: 'acme',
    window_from: '2026-11-21T08:59:00Z',
    window_to: '2026-11-21T09:00:00Z',
    unusable: 'empty',
    source: 'prometheus',
  };

  it('a share is a whole number of a hundred', () => {
    for (const pct of [0, 1, 100]) expect(faultsOf('flags.FlagSet', 1, { ...set, pct })).to.deep.equal([]);
    for (const pct of [-1, 101, 0.5, '10'])
      expect(faultsOf('flags.FlagSet', 1, { ...set, pct })).to.have.nested.property('[0].pointer', '/pct');
  });

  it('a feature is a name or a route, without white space', () => {
    expect(faultsOf('flags.FlagSet', 1, { ...set, feature: 'POST:/v1/orders' })).to.deep.equal([]);
    for (const feature of ['', 'two words', 'a\nb', 'x'.repeat(129)])
      expect(faultsOf('flags.FlagSet', 1, { ...set, feature })).to.have.nested.property(
        '[0].pointer',
        '/feature',
      );
  });

  it('a ramp has steps, a policy and canaries that are tenants', () => {
    expect(faultsOf('flags.RampStarted', 1, started)).to.deep.equal([]);
    for (const [member, value] of [
      ['steps', []],
      ['steps', [10, 10]],
      ['hold_seconds', 0],
      ['samples_min', 0],
      ['added_ppm_max', 1_000_001],
      ['canaries', ['NOT ONE']],
    ] as const)
      expect(faultsOf('flags.RampStarted', 1, { ...started, [member]: value })[0]?.pointer, member).to.match(
        new RegExp(`^/${member}`),
      );
  });

  it('an observation that says nothing says why', () => {
    expect(faultsOf('flags.RampObserved', 1, observed)).to.deep.equal([]);
    expect(faultsOf('flags.RampObserved', 1, { ...observed, unusable: 'odd' })).to.have.nested.property(
      '[0].pointer',
      '/unusable',
    );
    expect(faultsOf('flags.RampObserved', 1, { ...observed, exposed_requests: 1.5 })).to.have.nested.property(
      '[0].pointer',
      '/exposed_requests',
    );
  });
});
