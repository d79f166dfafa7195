// Passing over a fact that a read model has halted at: the reason goes into the tenant's chain, where every fold of that
// chain finds it, and then the read model goes on.
import { projections } from '#commands/projections.ts';
import { runCommand } from '#commands/run.ts';
import { parkedFacts, resumeHalted } from '#projectors/postgres/status.ts';
import type { Fault } from '#schemas/event.ts';
import type { Instant, Seq, TenantId } from '#schemas/ids.ts';
import type { Pool } from '#streams/postgres/connect.ts';
import type { StreamStore } from '#streams/stream.ts';

export interface Skip {
  readonly projection: string;
  readonly tenant: TenantId;
  /** Named, so that no other fact is passed over than the one that was looked at. */
  readonly seq: Seq;
  readonly reason: string;
  /** Who decides it. */
  readonly actor: string;
}

export type Skipped =
  | { readonly kind: 'skipped' }
  | { readonly kind: 'not-halted' }
  /** It has halted at this fact, which is another one. */
  | { readonly kind: 'halted-elsewhere'; readonly at: Seq }
  /** The reason is none that may stand in the ledger. */
  | { readonly kind: 'malformed'; readonly message: string; readonly faults: readonly Fault[] };

export interface SkipParts {
  readonly pool: Pool;
  readonly store: Pick<StreamStore, 'append' | 'find' | 'readStream'>;
  readonly clock: () => Instant;
}

/** A skip that died between the record and the going on is repeated without a second record. Throws `StreamError`. */
export const skipParked = async (
  { pool, store, clock }: SkipParts,
  { projection, tenant, seq, reason, actor }: Skip,
): Promise<Skipped> => {
  const [parked] = await parkedFacts(pool, { projection, tenant });
  if (!parked) return { kind: 'not-halted' };
  if (parked.seq !== seq) return { kind: 'halted-elsewhere', at: parked.seq };
  const outcome = await runCommand(
    { store, decider: projections },
    { type: 'SkipFact', projection, seq, reason },
    { tenant, actor, at: clock(), key: `skip ${projection} ${seq}` },
  );
  if (outcome.kind === 'refused' && 'faults' in outcome.refusal)
    return { kind: 'malformed', message: outcome.refusal.message, faults: outcome.refusal.faults };
  await resumeHalted(pool, projection, tenant);
  return { kind: 'skipped' };
};
