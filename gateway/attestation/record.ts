// What a comparison found, put on record in the chain of the tenant whose data it is.
import { type AttestationCommand, attestations } from '#commands/attestations.ts';
import { runCommand } from '#commands/run.ts';
import type { Attested } from '#projectors/attestation/attest.ts';
import type { Instant } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';

export interface AttestationAuthor {
  readonly actor: string;
  readonly at: Instant;
  /** The operation that made somebody compare. */
  readonly opParentId?: string;
}

export type RecordedAttestation =
  | { readonly kind: 'recorded'; readonly located: number }
  /** Nothing was compared, and no store is behind the other: there is nothing to say. */
  | { readonly kind: 'nothing' }
  | { readonly kind: 'refused'; readonly message: string };

/** Places that are put on record; the number of all of them is in the attestation itself. */
const LOCATED_MAX = 100;
const TEXT_MAX = 256;

/** Throws `CommandError` and `StreamError`. */
export const recordAttestation = async (
  store: Pick<StreamStore, 'append' | 'find' | 'readStream'>,
  { route, attested }: { readonly route: string; readonly attested: Attested },
  { actor, at, opParentId }: AttestationAuthor,
): Promise<RecordedAttestation> => {
  const { tenant, asOf, verdict, left, right, elements, differences } = attested;
  const { divergent = differences.length } = attested;
  if (verdict === 'lag' && left.seq === right.seq) return { kind: 'nothing' };
  const opId = `attest ${route} ${asOf} ${at}`;
  const say = (command: AttestationCommand, key: string) =>
    runCommand({ store, decider: attestations }, command, {
      tenant,
      actor,
      at,
      opId,
      opParentId,
      key: `${opId} ${key}`,
    });
  const seqOf = (seq: number): number => (verdict === 'lag' ? seq : asOf);
  const outcome = await say(
    {
      type: 'RecordAttestation',
      route,
      left: { ...left, seq: seqOf(left.seq) },
      right: { ...right, seq: seqOf(right.seq) },
      elements,
      divergent,
    },
    'verdict',
  );
  if (outcome.kind === 'refused') return { kind: 'refused', message: outcome.refusal.message };
  if (outcome.kind !== 'recorded' && outcome.kind !== 'repeated')
    return { kind: 'refused', message: `it is not taken: ${outcome.kind}` };
  let located = 0;
  for (const { class: kind, element, field, leftDigest, rightDigest } of differences.slice(0, LOCATED_MAX)) {
    const found = await say(
      {
        type: 'LocateDrift',
        route,
        asOfSeq: asOf,
        class: kind,
        element: element.slice(0, TEXT_MAX),
        // A request is hashed as JSON, which has no undefined.
        ...(field !== undefined && { field: field.slice(0, TEXT_MAX) }),
        ...(leftDigest !== undefined && { leftDigest }),
        ...(rightDigest !== undefined && { rightDigest }),
      },
      `${located}`,
    );
    if (found.kind === 'recorded' || found.kind === 'repeated') located += 1;
  }
  return { kind: 'recorded', located };
};
