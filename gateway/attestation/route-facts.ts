// What the ledger has about one route of a tenant: attestations and moves of the gate, in the order of the chain.
import { type DriftEvent, type DriftState, drift } from '#sagas/attestations.ts';
import type { Fact } from '#schemas/event.ts';
import { streamName, type TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import type { StreamStore } from '#streams/stream.ts';

/** Only those that the drift saga looks at. Throws `StreamError`. */
export const routeFacts = async (
  store: Pick<StreamStore, 'readStream'>,
  tenant: TenantId,
  route: string,
): Promise<readonly Fact<DriftEvent>[]> => {
  const streams = await Promise.all(
    ['attestations', 'gates'].map((domain) => store.readStream(tenant, streamName(domain, route))),
  );
  const handles: readonly string[] = drift.handles;
  return streams
    .flat()
    .filter(({ type }) => handles.includes(type))
    .sort((a, b) => a.seq - b.seq)
    .map((recorded) => decodeFact(recorded) as unknown as Fact<DriftEvent>);
};

/** What these facts come to for the drift saga. */
export const driftState = (facts: readonly Fact<DriftEvent>[]): DriftState =>
  facts.reduce((state, fact) => drift.fold(state, fact), drift.initial);
