// What a generator of fixtures is: each domain has one beside its own file, `<domain>.fixture.ts`. It says what such a
// ledger would hear, in realistic proportions, and draws every choice from the chance it is given: the same chance
// gives the same sayings on any machine. So it uses whole numbers, and no function of Math whose last bit is open.
import type { Instant, StreamName, TenantId } from './ids.ts';

/** Draws from one seed. */
export interface Chance {
  /** A whole number from 0 to `below` - 1; `below` is at most 2^32. */
  readonly int: (below: number) => number;
  /** The same, small numbers far more often: two of three draws fall into the first third. */
  readonly skewed: (below: number) => number;
  /** True `share` times in a thousand. */
  readonly perMille: (share: number) => boolean;
  readonly pick: <T>(list: readonly T[]) => T;
  /** Lower-case hexadecimal digits. */
  readonly hex: (digits: number) => string;
}

/** What one request comes to: an event with its authorship, and the key that makes two sendings the same request. */
export interface Saying {
  readonly key: string;
  readonly type: string;
  readonly schemaVersion: number;
  readonly data: { readonly [member: string]: unknown };
  readonly stream?: StreamName | undefined;
  readonly occurredAt: Instant;
  readonly actor: string;
  readonly opId?: string | undefined;
  readonly opParentId?: string | undefined;
  readonly region?: string | undefined;
}

/** One tenant's part of a fixture, as one domain says it. */
export interface TenantSayings {
  /** What opens a tenant's chain; one domain has it. */
  readonly opening?: (at: Instant) => Saying;
  /** The next saying at this moment of the ledger's clock. */
  readonly next: (at: Instant) => Saying;
}

export interface EventGenerator {
  readonly domain: string;
  /** Its facts among ten thousand, about. */
  readonly perTenThousand: number;
  readonly forTenant: (tenant: TenantId, chance: Chance) => TenantSayings;
  /** What it says in the chain of the ledger's own operations, where it says something there. */
  readonly forOperations?: (chance: Chance) => TenantSayings;
  /** For a pure insert: another request under the same key, which the ledger refuses. */
  readonly contradict?: (saying: Saying) => Saying;
}
