// Which tenants get a name of their own in the metrics. Each label value is a series that a scraper keeps for weeks, so
// only the busiest do; the rest share one. A tenant that is busy later takes the place of one that has become quiet.

export const OTHER = 'other';

export interface TopTenants {
  /** The label for a tenant of which `facts` more were recorded. */
  readonly label: (tenant: string, facts: number) => string;
}

const RANK_EVERY_FACTS = 10_000;
/** Candidates remembered for each name there is. */
const CANDIDATES_PER_NAME = 50;
/** How much busier a candidate must be, so that two alike do not take turns. */
const AHEAD = 2;

/** `dropped` is told of a tenant that loses its name: its series ends. A tenant called `other` never has one. */
export const topTenants = (namesMax: number, dropped: (tenant: string) => void): TopTenants => {
  const named = new Map<string, number>();
  const candidates = new Map<string, number>();
  let untilRanked = RANK_EVERY_FACTS;
  const rank = (): void => {
    untilRanked = RANK_EVERY_FACTS;
    const rising = [...candidates].sort(([, one], [, two]) => two - one).slice(0, namesMax);
    const falling = [...named].sort(([, one], [, two]) => one - two);
    for (const [index, [tenant, facts]] of rising.entries()) {
      const [quietest, its] = falling[index] as [string, number];
      if (facts <= its * AHEAD) break;
      named.delete(quietest);
      candidates.delete(tenant);
      candidates.set(quietest, its);
      named.set(tenant, facts);
      dropped(quietest);
    }
    fade(named);
    fade(candidates);
    for (const [tenant, facts] of candidates) if (facts < 1) candidates.delete(tenant);
  };
  return {
    label: (tenant, facts) => {
      if (namesMax === 0 || tenant === OTHER) return OTHER;
      untilRanked -= facts;
      if (untilRanked <= 0 && named.size === namesMax) rank();
      const before = named.get(tenant);
      if (before !== undefined || named.size < namesMax) {
        named.set(tenant, (before ?? 0) + facts);
        return tenant;
      }
      const waiting = candidates.get(tenant);
      if (waiting !== undefined || candidates.size < namesMax * CANDIDATES_PER_NAME)
        candidates.set(tenant, (waiting ?? 0) + facts);
      return OTHER;
    },
  };
};

/** What was recorded long ago counts less and less. */
const fade = (weights: Map<string, number>): void => {
  for (const [tenant, facts] of weights) weights.set(tenant, facts / 2);
};
