// The read models, by domain.
import type { AnyProjector } from './batch.ts';
import { changes } from './changes.ts';
import { flags } from './flags.ts';
import { gates } from './gates.ts';
import { placements } from './placements.ts';
import { receipts, receiptsDaily } from './receipts.ts';
import { tenants } from './tenants.ts';
import { timers } from './timers.ts';

/** One line each; a domain without a read model stands here with an empty list and the reason beside it. */
export const projectorsByDomain = {
  tenants: [tenants],
  receipts: [receipts, receiptsDaily],
  gates: [gates],
  placements: [placements],
  flags: [flags],
  timers: [timers],
} as const satisfies { readonly [domain: string]: readonly AnyProjector[] };

/** Domains without a read model of their own, and why. */
export const absent = {
  projections: 'what is on record about read models is read with the chain, by rebuilds and replays',
  attestations: 'what was found is read with the chain, by sagas and by whoever asks about a route',
  messages: 'counted in the very transaction that takes them: views.message_flow reads those counts',
} as const;

/** Read models that facts of many domains meet in, one line each. */
export const acrossDomains = { changes } as const satisfies { readonly [name: string]: AnyProjector };

export const projectors: readonly AnyProjector[] = [
  ...Object.values(projectorsByDomain).flat(),
  ...Object.values(acrossDomains),
];
