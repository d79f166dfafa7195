// A ledger in memory with one tenant, for tests of what stands on the store's port.
import { randomUUID } from 'node:crypto';
import { runCommand } from '#commands/run.ts';
import { tenants } from '#commands/tenants.ts';
import type { VerificationKey } from '#proofs/keys/public-key.ts';
import { type Instant, type TenantId, tenantId } from '#schemas/ids.ts';
import { memoryLedger as openMemory } from '#streams/memory/ledger.ts';
import type { StreamFeed, StreamStore } from '#streams/stream.ts';
import { testSigner } from './test-signer.ts';

export const ACME = tenantId('acme');

export interface OpenMemoryLedger {
  readonly store: StreamStore;
  readonly feed: StreamFeed;
  readonly keys: readonly VerificationKey[];
}

export const memoryLedger = async ({
  tenant = ACME,
  clock,
}: {
  readonly tenant?: TenantId;
  /** The ledger's; the system's unless given. */
  readonly clock?: () => number;
} = {}): Promise<OpenMemoryLedger> => {
  const { signer, keys } = testSigner();
  const { store, feed } = openMemory({ signer, ...(clock && { clock }) });
  const context = { tenant, actor: 'test', at: Date.UTC(2026, 10, 21, 8) as Instant, key: randomUUID() };
  const outcome = await runCommand(
    { store, decider: tenants },
    { type: 'CreateTenant', displayName: tenant },
    context,
  );
  if (outcome.kind !== 'recorded') throw new Error(`the tenant was not made: ${outcome.kind}`);
  return { store, feed, keys };
};
