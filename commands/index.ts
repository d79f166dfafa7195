// What can be asked of the ledger: one decider per domain, one line each.
import { messages } from './messages.ts';
import { projections } from './projections.ts';
import { receipts } from './receipts.ts';
import { tenants } from './tenants.ts';

export const deciders = {
  tenants,
  receipts,
  messages,
  projections,
} as const;
