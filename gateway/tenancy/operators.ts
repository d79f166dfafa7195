// The chain of those who run the ledger, opened with the first fact that it needs.
import { runCommand } from '#commands/run.ts';
import { OPERATORS, tenants } from '#commands/tenants.ts';
import type { Instant } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';

/** Opens it, unless it is there. Throws what the store throws. */
export const ensureOperators = async (
  store: StreamStore,
  { actor, at }: { readonly actor: string; readonly at: Instant },
): Promise<void> => {
  if (await store.head(OPERATORS)) return;
  // Refused when another process was faster, which is as good.
  await runCommand(
    { store, decider: tenants },
    { type: 'CreateTenant', displayName: 'Those who run the ledger' },
    { tenant: OPERATORS, actor, at, key: 'create-operators' },
  );
};
