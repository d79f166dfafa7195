import { expect } from 'chai';
import { admitting, urgencyOf } from '#gateway/http/admission.ts';
import { rateLimiter } from '#gateway/http/rate-limit.ts';

const acme = { tenant: 'acme', tokenId: 't1' };
const unlimited = rateLimiter({});

describe('gateway/http/admission', () => {
  const headers: readonly (readonly [string | readonly string[] | undefined, string])[] = [
    [undefined, 'interactive'],
    ['u=3', 'interactive'],
    ['u=0', 'interactive'],
    ['u=4', 'bulk'],
    ['i, u=7', 'bulk'],
    ['u=7;x', 'bulk'],
    ['u=7, i', 'bulk'],
    ['u=8', 'interactive'],
    ['u=-1', 'interactive'],
    ['mu=7', 'interactive'],
    ['u=75', 'interactive'],
    ['', 'interactive'],
    [['u=7', 'u=7'], 'interactive'],
  ];
  for (const [header, urgency] of headers)
    it(`a receipt with the priority ${JSON.stringify(header)} is ${urgency}`, () => {
      expect(urgencyOf(header, false)).to.equal(urgency);
    });

  it('a batch is bulk, whatever its header says', () => {
    expect(urgencyOf('u=0', true)).to.equal('bulk');
  });

  it('bulk gives way from a queue that is half full on; a single receipt does not', () => {
    const at = (load: number) => ({ rates: unlimited, load: () => load });
    expect(admitting(at(0.49), acme, 'bulk')()).to.equal(undefined);
    expect(admitting(at(0.5), acme, 'bulk')()?.code).to.equal('overloaded');
    expect(admitting(at(1), acme, 'interactive')()).to.equal(undefined);
  });

  it('once one of a batch is refused the rest is, though there is room again', () => {
    let load = 0;
    const admit = admitting({ rates: unlimited, load: () => load }, acme, 'bulk');
    const codes = [0, 0.6, 0].map((next) => {
      load = next;
      return admit()?.code;
    });
    expect(codes).to.deep.equal([undefined, 'overloaded', 'overloaded']);
  });

  it('the first receipt was counted with the request, the others count one each', () => {
    const rates = rateLimiter({ each: { perSecond: 1, burst: 3 } }, () => 0);
    rates.take(acme);
    const admit = admitting({ rates, load: () => 0 }, acme, 'bulk');
    expect([1, 2, 3, 4, 5].map(() => admit()?.code)).to.deep.equal([
      undefined,
      undefined,
      undefined,
      'rate-limited',
      'rate-limited',
    ]);
  });
});
