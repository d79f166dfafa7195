// Where a tenant is, as the chain of those who run the ledger says.

import { type PlacementState, placements } from '#commands/placements.ts';
import { OPERATORS } from '#commands/tenants.ts';
import { streamName, type TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import type { StreamStore } from '#streams/stream.ts';

/** `home`: the store that has the operators' chain. Throws `StreamError`. */
export const readPlacement = async (
  home: Pick<StreamStore, 'readStream'>,
  tenant: TenantId,
): Promise<PlacementState> => {
  let state = placements.initial;
  // The chain that says where tenants are is itself never moved.
  if (tenant === OPERATORS) return state;
  for (const fact of await home.readStream(OPERATORS, streamName('placements', tenant)))
    state = placements.evolve(state, decodeFact(fact) as never);
  return state;
};
