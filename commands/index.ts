// What can be asked of the ledger: one decider per domain, one line each.
import { attestations } from './attestations.ts';
import { flags } from './flags.ts';
import { gates } from './gates.ts';
import { messages } from './messages.ts';
import { placements } from './placements.ts';
import { projections } from './projections.ts';
import { receipts } from './receipts.ts';
import { tenants } from './tenants.ts';
import { timers } from './timers.ts';

export const deciders = {
  tenants,
  receipts,
  messages,
  projections,
  attestations,
  gates,
  placements,
  flags,
  timers,
} as const;
