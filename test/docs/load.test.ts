// docs/operations/load.md says what the program does.
import { expect } from 'chai';
import { readConfiguration } from '#deploy/configuration.ts';
import { rateLimitsOf } from '#deploy/load-settings.ts';
import { rateLimiter } from '#gateway/http/rate-limit.ts';
import { page } from './pages.ts';

describe('docs/operations/load.md', () => {
  const text = page('docs/operations/load.md');

  it('has settings that are read as it says, and headers as they are sent', () => {
    const env = Object.fromEntries(
      Array.from(text.matchAll(/`(PROV_LEDGER_RATE_LIMITS?)=([^`]+)`/g), ([, name = '', value = '']) => [
        name,
        value,
      ]),
    );
    expect(Object.keys(env)).to.have.length(2);
    const read = readConfiguration(env, () => '/data');
    if (!read.ok) throw new Error(JSON.stringify(read.faults));
    const limiter = rateLimiter(rateLimitsOf(read.configuration), () => 0);
    const globex = { tenant: 'globex', tokenId: 't' };
    for (let count = 0; count < 313; count += 1) limiter.take(globex);
    const headers = limiter.headers(globex);
    expect(text).to.contain(
      `RateLimit-Policy: ${headers['ratelimit-policy']}\nRateLimit: ${headers['ratelimit']}`,
    );
    expect(limiter.headers({ tenant: 'acme', tokenId: '9f2c' })['ratelimit-policy']).to.contain(
      '"token";q=10;',
    );
  });

  it('names only settings that there are', () => {
    const read = readConfiguration({}, () => '/data');
    const known = read.ok ? read.settings.map(({ name }) => name) : [];
    for (const [name] of text.matchAll(/PROV_LEDGER_[A-Z_]+/g)) expect(known).to.include(name);
  });
});
