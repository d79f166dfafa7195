// What the keeping of read models tells by itself, as lines of the log.
import { errorFields, type Log } from '../../telemetry/logs.ts';
import type { ProjectHooks } from '../ledger/wire.ts';

const HELD = {
  paused: 'a read model is paused; `prov-ledger projections resume` lets it go on',
  changed:
    'a read model was made by another source than this program has, and is left alone; `prov-ledger projections rebuild` makes it anew',
} as const;

export const toldTo = (log: Log): Required<Pick<ProjectHooks, 'onHalt' | 'onHeld' | 'onRetry'>> => ({
  onHalt: ({ projection, tenant, seq, message }) =>
    log('error', 'a read model has halted', {
      projection,
      tenant,
      seq,
      ...errorFields(new Error(message)),
    }),
  onHeld: ({ projection, version, why }) => log('warn', HELD[why], { projection, version }),
  onRetry: (error, delayMs) => log('warn', 'the read models wait', { delayMs, ...errorFields(error) }),
});
