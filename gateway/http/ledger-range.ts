// A range of a tenant's chain, as its facts and its export are asked for: `from` and `to`, both inclusive.
import type { Seq, Sha256, TenantId } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';
import type { Caller } from './auth.ts';
import { digestTag, type Kept } from './conditional.ts';
import { tenantParameter } from './ledger.ts';
import type { Operation } from './operation.ts';
import { type Problem, problem } from './problems.ts';
import { isProblem, malformedQuery, queryReader } from './query.ts';
import type { Call } from './route.ts';

const place = (description: string) =>
  ({
    in: 'query',
    description,
    schema: { type: 'string', pattern: '^[1-9][0-9]{0,14}$', description: 'a seq, from 1' },
    example: '1',
  }) as const;

export const rangeParameters = {
  tenant: tenantParameter,
  from: place('the first fact; 1 unless told'),
  to: place('the last fact; the head unless told'),
} as const;

export interface LedgerRange {
  readonly tenant: TenantId;
  readonly from: Seq;
  readonly to: Seq;
  /** Of the last fact, which covers all before it: the range is what it was as long as this is. */
  readonly lastHash: Sha256;
  /** A range without an end of its own grows with the chain. */
  readonly kept: Kept;
}

export type RangeOf = (call: Call, caller: Caller) => Promise<LedgerRange | Problem>;

export const rangeOf = (store: Pick<StreamStore, 'head' | 'read'>, operation: Operation): RangeOf => {
  const readQuery = queryReader(operation);
  return async ({ params, query }, { tenant }) => {
    // The same answer whether or not there is such a tenant.
    if (params['tenant'] !== tenant) return problem('other-tenant', `the token belongs to ${tenant}`);
    const values = readQuery(query);
    if (isProblem(values)) return values;
    const head = await store.head(tenant);
    const last = head?.seq ?? (0 as Seq);
    const from = Number(values['from'] ?? 1) as Seq;
    const to = Number(values['to'] ?? last) as Seq;
    if (!head || from > to || to > last) {
      const message = `there is no range ${from} to ${to}: ${tenant} has 1 to ${last}`;
      return malformedQuery([{ pointer: '/to', message }]);
    }
    const lastHash = to === last ? head.hash : await hashAt(store, tenant, to);
    return { tenant, from, to, lastHash, kept: values['to'] === undefined ? 'until-asked' : 'for-ever' };
  };
};

const hashAt = async (store: Pick<StreamStore, 'read'>, tenant: TenantId, seq: Seq): Promise<Sha256> => {
  for await (const [fact] of store.read(tenant, { from: seq, to: seq })) if (fact) return fact.hash;
  throw new Error(`fact ${seq} of ${tenant} lies below the head, and is not there`);
};

/** `form`: what else the bytes of the answer depend on. */
export const rangeTag = ({ from, to, lastHash }: LedgerRange, form: string): string =>
  digestTag(`${form}\n${from}\n${to}\n${lastHash}`);
