// What the tenants' own facts come to, as the command line and the service show it.
import { type TenantState, tenants } from '#commands/tenants.ts';
import { type Instant, instantText, streamName, type TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import type { TenantEvent } from '#schemas/tenants.ts';
import type { Head, StreamStore } from '#streams/stream.ts';

/** Folded from the store itself, which no read model stands before. */
export const tenantState = async (
  store: Pick<StreamStore, 'readStream'>,
  tenant: TenantId,
): Promise<TenantState> => {
  let state = tenants.initial;
  for (const fact of await store.readStream(tenant, streamName('tenants', tenant))) {
    state = tenants.evolve(state, decodeFact(fact) as unknown as TenantEvent);
  }
  return state;
};

export const tenantDocument = (
  { tenant, seq, hash, recordedAt }: Head,
  { displayName, standing }: TenantState,
) => ({
  tenant,
  display_name: displayName,
  status: standing,
  facts: seq,
  head_hash: hash,
  last_recorded_at: instantText(recordedAt),
});

/** Never their secrets, nor the hashes of them. */
export const tokenDocuments = (
  { tokens }: TenantState,
  now: Instant,
  lastUses: ReadonlyMap<string, Instant> = new Map(),
) =>
  [...tokens.values()].map(({ tokenId: id, scopes, label, expiresAt, revoked }) => ({
    token_id: id,
    scopes,
    label: label ?? null,
    expires_at: textOf(expiresAt),
    last_used_at: textOf(lastUses.get(id)),
    status: revoked ? 'revoked' : expiresAt !== undefined && expiresAt <= now ? 'expired' : 'in force',
  }));

const textOf = (at: Instant | undefined): string | null => (at === undefined ? null : instantText(at));
