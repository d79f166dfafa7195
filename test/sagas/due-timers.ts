// The timers that are due, folded from the store: what the read model says, without one.
import type { DueTimers } from '#projectors/postgres/due-timers.ts';
import { instant, type TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import type { StreamStore } from '#streams/stream.ts';

export const dueFrom =
  (store: Pick<StreamStore, 'heads' | 'read'>): DueTimers =>
  async (at, most) => {
    const due: { readonly tenant: TenantId; readonly timerId: string }[] = [];
    for (const { tenant } of await store.heads()) {
      const running = new Map<string, number>();
      for await (const page of store.read(tenant))
        for (const fact of page.map(decodeFact)) {
          if (fact.type === 'timers.TimerScheduled')
            running.set(fact.data.timer_id, instant(fact.data.due_at));
          else if (fact.type === 'timers.TimerFired') running.delete(fact.data.timer_id);
        }
      for (const [timerId, dueAt] of running) if (dueAt <= at) due.push({ tenant, timerId });
    }
    return due.slice(0, most);
  };
