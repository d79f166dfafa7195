// Whether the drift saga waits for one more attestation of a kind: it is asked itself, folded over the facts of the route
// and of its gate as it folds them (sagas/attestations.ts). What it does not wait for, and nobody has seen change, need
// not go on record again at every look.
import type { Attested } from '#projectors/attestation/attest.ts';
import { type DriftEvent, type DriftState, drift } from '#sagas/attestations.ts';
import type { Fact } from '#schemas/event.ts';
import { streamName, type TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import type { StreamStore } from '#streams/stream.ts';
import { readGate } from '../tenancy/write-gate.ts';

type Store = Pick<StreamStore, 'readStream'>;

/** Throws `StreamError`. */
export const attestationAwaited = async (
  store: Store,
  route: string,
  { tenant, verdict, differences }: Pick<Attested, 'tenant' | 'verdict' | 'differences'>,
): Promise<boolean> => {
  if (verdict === 'lag') return false;
  // An open gate is one short question, and nearly all gates are open.
  if (verdict === 'clean' && !(await readGate(store, tenant, route)).closed) return false;
  const { standing, byAlarm, divergentMin } = await standingOf(store, tenant, route);
  if (verdict === 'clean') return standing === 'filled' && byAlarm;
  const raising = standing === 'watching' || standing === 'crossed';
  return standing === 'filled' || (raising && differences.length >= divergentMin);
};

const standingOf = async (store: Store, tenant: TenantId, route: string): Promise<DriftState> => {
  const streams = await Promise.all(
    ['attestations', 'gates'].map((domain) => store.readStream(tenant, streamName(domain, route))),
  );
  const handles: readonly string[] = drift.handles;
  let state = drift.initial;
  for (const recorded of streams.flat().sort((a, b) => a.seq - b.seq))
    if (handles.includes(recorded.type))
      state = drift.fold(state, decodeFact(recorded) as unknown as Fact<DriftEvent>);
  return state;
};
