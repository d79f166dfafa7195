// A gateway on a store, with tenants and tokens made the way operators make them.
import { randomUUID } from 'node:crypto';
import { runCommand } from '#commands/run.ts';
import { type TenantCommand, tenants } from '#commands/tenants.ts';
import type { InjectedAnswer } from '#gateway/http/listener.ts';
import { createGateway, type Gateway, type GatewayOptions, type GatewayStore } from '#gateway/http/server.ts';
import { newToken } from '#gateway/http/tokens.ts';
import { jwks, type KeySet } from '#proofs/keys/public-key.ts';
import { type Instant, type TenantId, tenantId } from '#schemas/ids.ts';
import { memoryLedger } from '#streams/memory/ledger.ts';
import type { StreamFeed, StreamStore } from '#streams/stream.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { heldProjections } from './held-read-models.ts';
import { flagsFrom } from './listed-flags.ts';
import { listedFrom } from './listed-receipts.ts';

export const ALL_SCOPES = [
  'receipts:write',
  'receipts:read',
  'ledger:read',
  'flags:read',
  'flags:report',
  'attestations:report',
];

export interface TokenWish {
  readonly tenant?: TenantId;
  readonly scopes?: readonly string[];
  readonly expiresAt?: string;
}

export interface GatewayUnderTest extends AsyncDisposable {
  readonly gateway: Gateway;
  readonly store: StreamStore;
  readonly jwks: KeySet;
  /** What both the ledger and the gateway take for the time, in milliseconds. */
  readonly clock: { now: number };
  /** What was thrown behind answers of 500 and 503. */
  readonly faults: unknown[];
  readonly ready: { missing: string[] };
  readonly command: (tenant: TenantId, command: TenantCommand) => Promise<void>;
  readonly token: (wish?: TokenWish) => Promise<string>;
  readonly post: (token: string, body: unknown, headers?: Record<string, string>) => Promise<InjectedAnswer>;
  readonly get: (token: string | undefined, path: string) => Promise<InjectedAnswer>;
}

export const acme = tenantId('acme');
export const globex = tenantId('globex');

/** With the tenants acme and globex. `wrap` stands between the gateway and the store; `over` goes before the rest. */
export const openGateway = async (
  wrap: (store: StreamStore) => GatewayStore = (store) => store,
  over: Partial<GatewayOptions> = {},
): Promise<GatewayUnderTest> => {
  const { signer, keys } = testSigner();
  const clock = { now: Date.UTC(2026, 10, 21, 9) };
  const ledger = memoryLedger({ signer, clock: () => clock.now });
  return await gatewayOn({
    store: ledger.store,
    feed: ledger.feed,
    keySet: jwks(keys),
    clock,
    wrap,
    over,
    close: () => ledger[Symbol.asyncDispose](),
  });
};

interface GatewayOn {
  readonly store: StreamStore;
  readonly feed?: Pick<StreamFeed, 'subscribe'>;
  readonly keySet: KeySet;
  readonly clock: { now: number };
  readonly wrap?: (store: StreamStore) => GatewayStore;
  readonly over?: Partial<GatewayOptions>;
  readonly close: () => PromiseLike<void>;
}

/** Of a gateway that nobody watches. */
export const NO_FEED: Pick<StreamFeed, 'subscribe'> = {
  subscribe: () => {
    throw new Error('this test has no feed');
  },
};

export const gatewayOn = async ({
  store,
  feed = NO_FEED,
  keySet,
  clock,
  wrap = () => store,
  over = {},
  close,
}: GatewayOn): Promise<GatewayUnderTest> => {
  const faults: unknown[] = [];
  const ready = { missing: [] as string[] };
  const onFault = (error: unknown): void => void faults.push(error);
  const projections = heldProjections(() => clock.now, onFault, over.readModels);
  const gateway = createGateway({
    store: wrap(store),
    feed,
    patienceMs: 200,
    listReceipts: listedFrom(store),
    listFlags: flagsFrom(store),
    ...projections,
    jwks: () => keySet,
    clock: () => clock.now,
    readiness: async () => ({ ready: ready.missing.length === 0, missing: ready.missing }),
    onFault,
    ...over,
  });
  const command = async (tenant: TenantId, of: TenantCommand): Promise<void> => {
    const context = { tenant, actor: 'operator', at: clock.now as Instant, key: randomUUID() };
    const outcome = await runCommand({ store, decider: tenants }, of, context);
    if (outcome.kind !== 'recorded') throw new Error(`${of.type}: ${JSON.stringify(outcome)}`);
  };
  for (const tenant of [acme, globex]) await command(tenant, { type: 'CreateTenant', displayName: tenant });
  return {
    gateway,
    store,
    jwks: keySet,
    clock,
    faults,
    ready,
    command,
    token: async ({ tenant = acme, scopes = ALL_SCOPES, expiresAt } = {}) => {
      const { token, tokenId, tokenHash } = newToken(tenant);
      await command(tenant, {
        type: 'IssueToken',
        tokenId,
        tokenHash,
        scopes,
        ...(expiresAt !== undefined && { expiresAt }),
      });
      return token;
    },
    post: (token, body, headers = {}) =>
      gateway.inject({
        method: 'POST',
        path: '/receipts',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
      }),
    get: (token, path) =>
      gateway.inject({
        method: 'GET',
        path,
        headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      }),
    [Symbol.asyncDispose]: async () => {
      await gateway.drain(1_000);
      await projections.jobs[Symbol.asyncDispose]();
      await close();
    },
  };
};

/** A whole receipt of version 1. */
export const receipt = (over: Record<string, unknown> = {}): Record<string, unknown> => ({
  id: randomUUID(),
  action: 'db.export',
  actor: 'alice',
  tenant: 'acme',
  decision: 'allow',
  created_at: '2026-11-21T08:59:00Z',
  inputs: { rows: 12, table: 'invoices' },
  ...over,
});

/** What a repetition must share with the first answer. */
export const answerOf = ({ status, headers: { etag, location }, body }: InjectedAnswer) => ({
  status,
  etag,
  location,
  body,
});

/** Whether it is the answer to an earlier request. */
export const isReplayed = ({ headers }: InjectedAnswer): boolean => headers['idempotent-replayed'] === 'true';

/** The code of a problem, or what came instead of one. */
export const codeOf = ({ headers, body, status }: InjectedAnswer): unknown =>
  String(headers['content-type']).startsWith('application/problem+json')
    ? (JSON.parse(body) as { code: unknown }).code
    : `${status} ${body}`;
