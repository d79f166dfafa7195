// How much a tenant may ask of this process: a token bucket each, so that a burst is taken and a flood is not. A refusal
// costs a comparison, comes before the body is read, and is answered no faster than the tenant may ask: whoever hurries
// on from refusal to refusal takes nothing from the others. Each process counts for itself: what a tenant gets is the rate
// times the processes that serve it.
import { type Problem, problem } from './problems.ts';

export interface Rate {
  /** Requests a second that may go on for ever; a line of a batch counts as a request. */
  readonly perSecond: number;
  /** Requests at once, after a pause. */
  readonly burst: number;
}

export interface RateLimits {
  /** Of every tenant that `own` does not name; absent: no limit. */
  readonly each?: Rate | undefined;
  /** By tenant, or by `tenant/token id`: a token named here has a bucket of its own. */
  readonly own?: ReadonlyMap<string, Rate>;
}

/** Who is counted: the tenant, unless the token has a limit of its own. */
export interface Counted {
  readonly tenant: string;
  readonly tokenId: string;
}

export interface RateLimiter {
  /** Takes one request from the bucket, or says why not. */
  take(of: Counted): Problem | undefined;
  /**
   * RateLimit and RateLimit-Policy of draft-ietf-httpapi-ratelimit-headers-10: `q` is the burst, `w` the seconds in
   * which an empty bucket fills, `r` what is in it, `t` the seconds until it is full. None where there is no limit.
   */
  headers(of: Counted): { readonly [name: string]: string };
  /** In how many milliseconds a refusal of `take` is to be answered: one after another at the rate of the limit. */
  pace(of: Counted): number;
}

interface Bucket {
  readonly rate: Rate;
  readonly policy: string;
  /** Requests that may still come. */
  level: number;
  at: number;
  /** When the next refusal is answered, at the earliest. */
  refusingAt: number;
}

/** A refusal is held no longer: its sender has a timeout of its own. */
const PACE_MS_MAX = 1_000;

/** A bucket that is full says nothing that a new one would not. */
const BUCKETS_MAX = 10_000;

const level = ({ rate, level: left, at }: Bucket, now: number): number =>
  Math.min(rate.burst, left + ((now - at) / 1_000) * rate.perSecond);

/** `steadyClock`: milliseconds of a clock that never goes back; the process's unless told. */
export const rateLimiter = (
  limits: RateLimits,
  steadyClock: () => number = () => performance.now(),
): RateLimiter => {
  const bucketOf = bucketsOf(limits);
  return {
    take: (of) => {
      const now = steadyClock();
      const bucket = bucketOf(of, now);
      if (!bucket) return undefined;
      bucket.level = level(bucket, now);
      bucket.at = now;
      if (bucket.level >= 1) {
        bucket.level -= 1;
        return undefined;
      }
      const { perSecond } = bucket.rate;
      const retryAfter = Math.max(1, Math.ceil((1 - bucket.level) / perSecond));
      const whose = bucket.policy === 'token' ? `the token ${of.tokenId}` : of.tenant;
      const detail = `${whose} may send ${perSecond} a second: there is room again in ${retryAfter} s`;
      return problem('rate-limited', detail, { retry_after: retryAfter });
    },
    headers: (of) => {
      const now = steadyClock();
      const bucket = bucketOf(of, now);
      if (!bucket) return {};
      const { policy, rate } = bucket;
      const left = level(bucket, now);
      const seconds = (missing: number): number => Math.ceil(missing / rate.perSecond);
      return {
        'ratelimit-policy': `"${policy}";q=${rate.burst};w=${Math.max(1, seconds(rate.burst))}`,
        ratelimit: `"${policy}";r=${Math.floor(left)};t=${seconds(rate.burst - left)}`,
      };
    },
    pace: (of) => {
      const now = steadyClock();
      const bucket = bucketOf(of, now);
      if (!bucket) return 0;
      const at = Math.min(Math.max(bucket.refusingAt, now), now + PACE_MS_MAX);
      bucket.refusingAt = at + 1_000 / bucket.rate.perSecond;
      return at - now;
    },
  };
};

const bucketsOf = ({ each, own = new Map() }: RateLimits) => {
  const buckets = new Map<string, Bucket>();
  /** The bucket of whoever is counted; a new one is full. `undefined` where there is no limit. */
  return ({ tenant, tokenId }: Counted, now: number): Bucket | undefined => {
    const ofToken = own.size > 0 ? own.get(`${tenant}/${tokenId}`) : undefined;
    const key = ofToken ? `${tenant}/${tokenId}` : tenant;
    const known = buckets.get(key);
    if (known) return known;
    const rate = ofToken ?? own.get(tenant) ?? each;
    if (!rate) return undefined;
    if (buckets.size >= BUCKETS_MAX) forgetFull(buckets, now);
    const policy = ofToken ? 'token' : 'tenant';
    const bucket = { rate, policy, level: rate.burst, at: now, refusingAt: now };
    buckets.set(key, bucket);
    return bucket;
  };
};

const forgetFull = (buckets: Map<string, Bucket>, now: number): void => {
  for (const [key, bucket] of buckets) if (level(bucket, now) >= bucket.rate.burst) buckets.delete(key);
};
