// Whether the drift saga waits for one more attestation of a kind: it is asked itself, folded over the facts of the route
// and of its gate as it folds them (sagas/attestations.ts). What it does not wait for, and nobody has seen change, need
// not go on record again at every look.
import type { Attested } from '#projectors/attestation/attest.ts';
import type { StreamStore } from '#streams/stream.ts';
import { readGate } from '../tenancy/write-gate.ts';
import { driftState, routeFacts } from './route-facts.ts';

/** Throws `StreamError`. */
export const attestationAwaited = async (
  store: Pick<StreamStore, 'readStream'>,
  route: string,
  { tenant, verdict, differences }: Pick<Attested, 'tenant' | 'verdict' | 'differences'>,
): Promise<boolean> => {
  if (verdict === 'lag') return false;
  // An open gate is one short question, and nearly all gates are open.
  if (verdict === 'clean' && !(await readGate(store, tenant, route)).closed) return false;
  const { standing, byAlarm, divergentMin } = driftState(await routeFacts(store, tenant, route));
  if (verdict === 'clean') return standing === 'filled' && byAlarm;
  const raising = standing === 'watching' || standing === 'crossed';
  return standing === 'filled' || (raising && differences.length >= divergentMin);
};
