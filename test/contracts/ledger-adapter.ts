// What an adapter of the two ports brings to its contract suites: a fresh ledger, and the means to hurt it.
// A means that an adapter has not is said by name and shows up as a pending test, never as a passed one.
import { randomUUID } from 'node:crypto';
import type { VerificationKey } from '#proofs/keys/public-key.ts';
import type { Draft, Recorded } from '#schemas/event.ts';
import { type FactId, factId, type Instant, type StreamName, type TenantId, tenantId } from '#schemas/ids.ts';
import type { AppendRequest, AppendResult, StreamFeed, StreamStore } from '#streams/stream.ts';

export type Support = true | `not supported: ${string}`;

/** The ways in which one commit goes wrong. */
export type CommitFault =
  /** The signer gives an error instead of a signature. */
  | 'unsigned'
  /** The signer gives a signature that its public key does not verify. */
  | 'badly-signed'
  /** The store refuses the statement that holds claim and facts; nothing is stored. */
  | 'refused'
  /** The connection is lost after claim and facts were sent and before they are committed. */
  | 'cut-before-commit'
  /** The connection is lost after the commit and before its answer arrives. */
  | 'cut-after-commit';

export interface Instance {
  readonly store: StreamStore;
  readonly feed: StreamFeed;
}

/** Disposing closes every instance that was opened on it. */
export interface LedgerUnderTest extends Instance, AsyncDisposable {
  /** The clock of every instance, in milliseconds. */
  readonly clock: { now: number };
  readonly keys: readonly VerificationKey[];
  /** The same storage as another process would open it. */
  readonly another: () => Promise<Instance>;
  /** Another process whose next commit fails in the given way, and which does not try again by itself. */
  readonly failing: (fault: CommitFault) => Promise<Instance>;
  /** A feed to which no notification ever comes. */
  readonly deafFeed: () => Promise<StreamFeed>;
  /** Another session that has written, holds its transaction open, and does nothing. */
  readonly idleTransaction: () => Promise<AsyncDisposable>;
}

export interface LedgerAdapter {
  readonly name: string;
  readonly open: () => Promise<LedgerUnderTest>;
  readonly supports: {
    readonly another: Support;
    readonly failing: Readonly<Record<CommitFault, Support>>;
    readonly deafFeed: Support;
    readonly idleTransaction: Support;
  };
}

type TestBody = (this: Mocha.Context) => Promise<void>;

/** Declares a test that needs a means; a pending one that says why when the adapter has it not. */
export const itNeeds = (
  adapter: LedgerAdapter,
  means: Exclude<keyof LedgerAdapter['supports'], 'failing'>,
  title: string,
  test: TestBody,
): void => declare(adapter.supports[means], title, test);

/** The same for a test in which a commit goes wrong. */
export const itFails = (adapter: LedgerAdapter, fault: CommitFault, title: string, test: TestBody): void =>
  declare(adapter.supports.failing[fault], title, test);

const declare = (support: Support, title: string, test: TestBody): void => {
  if (support === true) it(title, test);
  else it(`${title} (${support})`);
};

/** A draft that says nothing in particular, with an id of its own. */
export const draft = (given: Partial<Draft> = {}): Draft => ({
  id: factId(randomUUID()),
  type: 'tests.Said',
  schemaVersion: 1,
  occurredAt: 1_700_000_000_000 as Instant,
  actor: 'user:ada',
  payload: '{"text":"hello"}',
  ...given,
});

export const drafts = (
  count: number,
  given: (index: number) => Partial<Draft> = () => ({}),
): readonly Draft[] => Array.from({ length: count }, (_, index) => draft(given(index)));

export const ids = (list: readonly { readonly id: FactId }[]): readonly FactId[] => list.map(({ id }) => id);

export const acme: TenantId = tenantId('acme');
export const other: TenantId = tenantId('other');

export const ANY: AppendRequest['expect'] = { kind: 'any' };
export const NEW: AppendRequest['expect'] = { kind: 'new-tenant' };
export const at = (stream: StreamName, revision: number): AppendRequest['expect'] =>
  ({ kind: 'stream', stream, revision }) as AppendRequest['expect'];

export const append = (
  store: StreamStore,
  tenant: TenantId,
  ...list: readonly Draft[]
): Promise<AppendResult> => store.append({ tenant, drafts: list, expect: ANY });

/** Opens each tenant with one fact. */
export const openTenants = async (
  store: StreamStore,
  ...tenants: readonly TenantId[]
): Promise<readonly Draft[]> =>
  await Promise.all(
    tenants.map(async (tenant) => {
      const opening = draft({ type: 'tests.Opened' });
      const result = await store.append({ tenant, drafts: [opening], expect: NEW });
      if (result.kind !== 'appended') throw new Error(`${tenant} was not opened: ${result.kind}`);
      return opening;
    }),
  );

/** The facts of an append that went in, now or before. */
export const factsOf = (result: AppendResult): readonly Recorded[] => {
  if (result.kind !== 'appended' && result.kind !== 'repeated')
    throw new Error(`facts expected, not ${result.kind}`);
  return result.facts.map(({ fact }) => fact);
};

export const readAll = async (store: StreamStore, tenant: TenantId = acme): Promise<readonly Recorded[]> =>
  (await Array.fromAsync(store.read(tenant))).flat();

/** Waits for a rejection, but not for ever; returns the error. */
export const refused = async (promise: Promise<unknown>): Promise<unknown> => {
  const outcome = await Promise.race([
    promise.then(
      (value) => `answered ${JSON.stringify(value)?.slice(0, 200)}`,
      (error: unknown) => ({ error }),
    ),
    new Promise<string>((resolve) => setTimeout(resolve, 3_000, 'no answer in 3 s').unref()),
  ]);
  if (typeof outcome === 'string') throw new Error(`a refusal was expected: ${outcome}`);
  return outcome.error;
};
