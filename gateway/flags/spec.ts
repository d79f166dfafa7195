// What a service that evaluates flags is told: of each feature how many get it, and the fact that says so. Who is among
// them it works out by itself (gateway/sdk/flag-bucket.ts).
import type { ListedFlag } from '#projectors/postgres/flag-list.ts';
import type { TenantId } from '#schemas/ids.ts';

/** One flag in force. */
export interface FlagEntry {
  /** In a hundred subjects, how many get the feature. */
  readonly pct: number;
  /** Held where it is. */
  readonly frozen: boolean;
  /** Place in the tenant's chain of the fact that it is so by. */
  readonly seq: number;
}

export interface FlagSpec {
  readonly format: 'prov-ledger/flags@1';
  readonly tenant: string;
  /** By feature. Those that were retired are not there. */
  readonly flags: { readonly [feature: string]: FlagEntry };
}

export const flagSpec = (tenant: TenantId, listed: readonly ListedFlag[]): FlagSpec => ({
  format: 'prov-ledger/flags@1',
  tenant,
  flags: Object.fromEntries(
    listed
      .filter(({ status }) => status !== 'retired')
      .map(({ feature, status, pct, movedSeq }) => [
        feature,
        { pct, frozen: status === 'frozen', seq: movedSeq },
      ]),
  ),
});
