// Settings of what is taken and what is refused under load: docs/operations/load.md says how to choose them.
import type { Rate, RateLimits } from '#gateway/http/rate-limit.ts';
import { type Setting, type Unusable, type Values, whole } from './setting.ts';

const RATE = /^(\d{1,7}(?:\.\d{1,3})?)(?::(\d{1,7}))?$/;

/** `<a second>`, or `<a second>:<at once>`; without the second, a second's worth. */
const rateOf = (text: string): Rate | undefined => {
  const [, perSecond, burst] = RATE.exec(text) ?? [];
  const rate = { perSecond: Number(perSecond), burst: Number(burst ?? Math.ceil(Number(perSecond))) };
  return rate.perSecond > 0 && rate.burst > 0 ? rate : undefined;
};

const rate = (raw: string): Rate | undefined | Unusable =>
  raw === 'none'
    ? undefined
    : (rateOf(raw) ?? { fault: 'give none, a rate like 500, or rate:burst like 500:2000' });

const OWNER = /^[a-z][a-z0-9-]{1,62}(?:\/[A-Za-z0-9_-]{1,64})?$/;

const rates = (raw: string): ReadonlyMap<string, Rate> | Unusable => {
  const own = new Map<string, Rate>();
  for (const entry of raw.split(/[\s,]+/).filter((text) => text !== '')) {
    const [owner = '', text = '', ...more] = entry.split('=');
    const given = rateOf(text);
    if (!OWNER.test(owner) || !given || more.length > 0 || own.has(owner))
      return { fault: `${entry}: give each tenant, or tenant/token id, once, like acme=500:2000` };
    own.set(owner, given);
  }
  return own;
};

const shown = ({ perSecond, burst }: Rate): string => `${perSecond}:${burst}`;

export const loadSettings = {
  rateLimit: {
    name: 'PROV_LEDGER_RATE_LIMIT',
    description:
      'requests a second of each tenant and process, and how many at once: 500:2000; lines of a batch count',
    parse: rate,
    fallback: undefined,
    show: (value) => (value ? shown(value) : 'none'),
  } as Setting<Rate | undefined>,
  rateLimits: {
    name: 'PROV_LEDGER_RATE_LIMITS',
    description: 'other limits, by tenant or tenant/token id: acme=5000:20000,acme/9f2c=10',
    parse: rates,
    fallback: new Map(),
    show: (value) => Array.from(value, ([owner, of]) => `${owner}=${shown(of)}`).join(',') || 'none',
  } as Setting<ReadonlyMap<string, Rate>>,
  queueFacts: {
    name: 'PROV_LEDGER_QUEUE_FACTS',
    description: 'facts that may wait to be stored; further ones are refused with 503',
    parse: whole(100, 10_000_000),
    fallback: 50_000,
  } as Setting<number>,
  queueMib: {
    name: 'PROV_LEDGER_QUEUE_MIB',
    description: 'the same in mebibytes',
    parse: whole(8, 65_536),
    fallback: 256,
  } as Setting<number>,
};

export type LoadConfiguration = Values<typeof loadSettings>;

export const rateLimitsOf = ({ rateLimit, rateLimits }: LoadConfiguration): RateLimits => ({
  each: rateLimit,
  own: rateLimits,
});
