import { expect } from 'chai';
import { readConfiguration } from '#deploy/configuration.ts';
import { rateLimitsOf } from '#deploy/load-settings.ts';

const read = (env: Record<string, string>) => readConfiguration(env, () => '/srv/ledger');

const limitsOf = (env: Record<string, string>) => {
  const result = read(env);
  if (!result.ok) throw new Error(JSON.stringify(result.faults));
  return rateLimitsOf(result.configuration);
};

const shown = (env: Record<string, string>, name: string): string | undefined => {
  const result = read(env);
  return result.ok ? result.settings.find((setting) => setting.name === name)?.value : undefined;
};

describe('deploy/load-settings', () => {
  it('no tenant is limited unless told', () => {
    expect(limitsOf({})).to.deep.equal({ each: undefined, own: new Map() });
    expect(limitsOf({ PROV_LEDGER_RATE_LIMIT: 'none' }).each).to.equal(undefined);
  });

  it('a rate without a burst lets a second of it come at once, one request at least', () => {
    const rateOf = (text: string) => limitsOf({ PROV_LEDGER_RATE_LIMIT: text }).each;
    expect(rateOf('500')).to.deep.equal({ perSecond: 500, burst: 500 });
    expect(rateOf('500:2000')).to.deep.equal({ perSecond: 500, burst: 2_000 });
    expect(rateOf('0.5')).to.deep.equal({ perSecond: 0.5, burst: 1 });
  });

  it('tenants and tokens may have their own', () => {
    const text = 'acme=5000:20000, acme/9f2c=10';
    expect(limitsOf({ PROV_LEDGER_RATE_LIMITS: text }).own).to.deep.equal(
      new Map([
        ['acme', { perSecond: 5_000, burst: 20_000 }],
        ['acme/9f2c', { perSecond: 10, burst: 10 }],
      ]),
    );
    const as = shown({ PROV_LEDGER_RATE_LIMITS: text }, 'PROV_LEDGER_RATE_LIMITS');
    expect(as).to.equal('acme=5000:20000,acme/9f2c=10:10');
  });

  const unusable: readonly (readonly [string, string])[] = [
    ['PROV_LEDGER_RATE_LIMIT', '0'],
    ['PROV_LEDGER_RATE_LIMIT', '-5'],
    ['PROV_LEDGER_RATE_LIMIT', '5:0'],
    ['PROV_LEDGER_RATE_LIMIT', '5:10:20'],
    ['PROV_LEDGER_RATE_LIMIT', 'unlimited'],
    ['PROV_LEDGER_RATE_LIMITS', 'acme'],
    ['PROV_LEDGER_RATE_LIMITS', 'acme=none'],
    ['PROV_LEDGER_RATE_LIMITS', 'ACME=5'],
    ['PROV_LEDGER_RATE_LIMITS', 'acme=5,acme=6'],
    ['PROV_LEDGER_RATE_LIMITS', 'acme/=5'],
    ['PROV_LEDGER_QUEUE_FACTS', '5'],
    ['PROV_LEDGER_QUEUE_MIB', '1.5'],
  ];
  for (const [name, text] of unusable)
    it(`${name}=${text} is refused at the start, by name`, () => {
      const result = read({ [name]: text });
      expect(result.ok ? [] : result.faults.map((fault) => fault.name)).to.deep.equal([name]);
    });
});
