import { expect } from 'chai';
import fc from 'fast-check';
import { rateLimiter } from '#gateway/http/rate-limit.ts';

const acme = { tenant: 'acme', tokenId: 't1' };
const globex = { tenant: 'globex', tokenId: 't1' };

describe('gateway/http/rate-limit', () => {
  const clock = { now: 0 };
  const limiterOf = (limits: Parameters<typeof rateLimiter>[0]) => {
    clock.now = 1_000;
    return rateLimiter(limits, () => clock.now);
  };

  it('takes a burst, then as many as come in at the rate', () => {
    const limiter = limiterOf({ each: { perSecond: 10, burst: 3 } });
    const codes = (): readonly unknown[] => [1, 2, 3, 4].map(() => limiter.take(acme)?.code);
    expect(codes()).to.deep.equal([undefined, undefined, undefined, 'rate-limited']);
    clock.now += 200;
    expect(codes()).to.deep.equal([undefined, undefined, 'rate-limited', 'rate-limited']);
    clock.now += 60_000;
    expect(codes()).to.deep.equal([undefined, undefined, undefined, 'rate-limited']);
  });

  it('says when to come back, in whole seconds and never 0', () => {
    const slow = limiterOf({ each: { perSecond: 0.2, burst: 1 } });
    slow.take(acme);
    expect(slow.take(acme)?.members?.['retry_after']).to.equal(5);
    clock.now += 4_500;
    expect(slow.take(acme)?.members?.['retry_after']).to.equal(1);
  });

  it('counts each tenant for itself, and all its tokens together', () => {
    const limiter = limiterOf({ each: { perSecond: 1, burst: 1 } });
    expect(limiter.take(acme)).to.equal(undefined);
    expect(limiter.take({ ...acme, tokenId: 't2' })?.code).to.equal('rate-limited');
    expect(limiter.take(globex)).to.equal(undefined);
  });

  it('a tenant or a token can have a limit of its own; such a token takes nothing from its tenant', () => {
    const own = new Map([
      ['globex', { perSecond: 1, burst: 2 }],
      ['acme/t2', { perSecond: 1, burst: 1 }],
    ]);
    const limiter = limiterOf({ each: { perSecond: 1, burst: 1 }, own });
    const left = (of: typeof acme): number => {
      let count = 0;
      while (!limiter.take(of)) count += 1;
      return count;
    };
    expect(left({ ...acme, tokenId: 't2' })).to.equal(1);
    expect(left(acme)).to.equal(1);
    expect(left(globex)).to.equal(2);
    expect(limiter.headers({ ...acme, tokenId: 't2' })['ratelimit']).to.equal('"token";r=0;t=1');
  });

  it('tells the policy and what is left as the draft writes them', () => {
    const limiter = limiterOf({ each: { perSecond: 50, burst: 200 } });
    for (let count = 0; count < 30; count += 1) limiter.take(acme);
    expect(limiter.headers(acme)).to.deep.equal({
      'ratelimit-policy': '"tenant";q=200;w=4',
      ratelimit: '"tenant";r=170;t=1',
    });
  });

  it('without a limit nothing is counted and nothing is said', () => {
    const limiter = limiterOf({ own: new Map([['globex', { perSecond: 1, burst: 1 }]]) });
    for (let count = 0; count < 1_000; count += 1) expect(limiter.take(acme)).to.equal(undefined);
    expect(limiter.headers(acme)).to.deep.equal({});
    limiter.take(globex);
    expect(limiter.take(globex)?.code).to.equal('rate-limited');
  });

  it('refusals are answered one after another at the rate of the limit, and none is held for more than a second', () => {
    const limiter = limiterOf({ each: { perSecond: 10, burst: 1 } });
    const paces = (count: number): readonly number[] =>
      Array.from({ length: count }, () => limiter.pace(acme));
    expect(paces(4)).to.deep.equal([0, 100, 200, 300]);
    expect(limiter.pace(globex)).to.equal(0);
    clock.now += 350;
    expect(paces(2)).to.deep.equal([50, 150]);
    expect(Math.max(...paces(100))).to.equal(1_000);
    clock.now += 60_000;
    expect(paces(2)).to.deep.equal([0, 100]);
  });

  it('where there is no limit nothing is held', () => {
    expect(limiterOf({}).pace(acme)).to.equal(0);
  });

  it('ten thousand tenants that have been quiet long enough are forgotten, one under way is not', () => {
    const limiter = limiterOf({ each: { perSecond: 0.01, burst: 1 } });
    limiter.take(acme);
    clock.now += 99_000;
    for (let count = 0; count < 10_000; count += 1) limiter.headers({ tenant: `t${count}`, tokenId: 't' });
    expect(limiter.take(acme)?.code).to.equal('rate-limited');
  });

  it('never lets more through than the burst and the rate over any time', () => {
    const schedule = fc.array(
      fc.record({ wait: fc.integer({ min: 0, max: 400 }), tries: fc.integer({ min: 0, max: 9 }) }),
    );
    fc.assert(
      fc.property(schedule, (steps) => {
        const limiter = limiterOf({ each: { perSecond: 7, burst: 5 } });
        const from = clock.now;
        let through = 0;
        for (const { wait, tries } of steps) {
          clock.now += wait;
          for (let count = 0; count < tries; count += 1) if (!limiter.take(acme)) through += 1;
          expect(through).to.be.at.most(5 + ((clock.now - from) / 1_000) * 7 + 1e-6);
        }
      }),
    );
  });
});
