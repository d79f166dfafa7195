// What follows, by domain: the sagas that react to its facts first.
import { alarms, drift } from './attestations.ts';
import { ramps } from './flags.ts';
import { reopenings } from './gates.ts';
import type { AnySaga } from './saga.ts';

/** One line each. */
export const sagas = {
  attestations: [drift, alarms],
  flags: [ramps],
  gates: [reopenings],
} as const satisfies { readonly [domain: string]: readonly AnySaga[] };

/** Domains from which nothing follows by itself, and why. */
export const absent = {
  tenants: 'what a tenant may do is decided where it asks',
  receipts: 'a receipt states what has been done',
  messages: 'what becomes of a message is settled in the transaction that takes it',
  projections: 'a read model goes on when somebody has looked at it',
  timers: 'who waits for a timer reacts to it',
  placements: 'a tenant is moved by people',
} as const;

export const allSagas: readonly AnySaga[] = Object.values(sagas).flat();
