// What `prov-ledger doctor` says of one thing that it looked at.
import type { Finding } from '#gateway/cli/world.ts';

export const ok = (check: string, detail: string): Finding => ({ check, state: 'ok', detail });

/** It works, and something is to be done all the same. */
export const warning = (check: string, detail: string, remedy: string): Finding => ({
  check,
  state: 'warning',
  detail,
  remedy,
});

export const failed = (check: string, detail: string, remedy: string): Finding => ({
  check,
  state: 'failed',
  detail,
  remedy,
});
