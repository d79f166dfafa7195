// What the chains of all tenants say of attestations and gates, as they grow: read once each, whoever asks.
import { setTimeout as pause } from 'node:timers/promises';
import type { AttestationEvent } from '#schemas/attestations.ts';
import type { Fact } from '#schemas/event.ts';
import type { GateEvent } from '#schemas/gates.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import type { StreamStore } from '#streams/stream.ts';

export type Said = Fact<AttestationEvent | GateEvent>;

export interface DriftWatch extends AsyncDisposable {
  /** Of one route of a tenant, in the order of the chain; grows in place. */
  readonly said: (tenant: TenantId, route: string) => readonly Said[];
  readonly all: () => readonly Said[];
  /** Throws what ended the watch before its time. */
  readonly alive: () => void;
}

const LOOK_EVERY_MS = 150;

/** Reads `store`, which it does not close, until it is disposed of. */
export const watchDrift = (store: Pick<StreamStore, 'heads' | 'read'>): DriftWatch => {
  const taken = new Map<TenantId, number>();
  const routes = new Map<string, Said[]>();
  const ending = new AbortController();
  let fault: unknown;
  const keyOf = (tenant: TenantId, route: string): string => `${tenant} ${route}`;
  const saidOf = (tenant: TenantId, route: string): Said[] => {
    const found = routes.get(keyOf(tenant, route)) ?? [];
    routes.set(keyOf(tenant, route), found);
    return found;
  };
  const look = async (): Promise<void> => {
    for (const { tenant, seq } of await store.heads()) {
      const from = (taken.get(tenant) ?? 0) + 1;
      if (seq < from) continue;
      for await (const page of store.read(tenant, { from: from as Seq }))
        for (const recorded of page) {
          taken.set(tenant, recorded.seq);
          if (!/^(attestations|gates)\./.test(recorded.type)) continue;
          const fact = decodeFact(recorded) as Said;
          saidOf(tenant, fact.data.route).push(fact);
        }
    }
  };
  const looking = (async () => {
    while (!ending.signal.aborted) {
      await look();
      await pause(LOOK_EVERY_MS, undefined, { signal: ending.signal }).catch(() => undefined);
    }
  })().catch((error: unknown) => {
    fault = error;
  });
  return {
    said: saidOf,
    all: () => [...routes.values()].flat(),
    alive: () => {
      if (fault !== undefined) throw fault;
    },
    [Symbol.asyncDispose]: async () => {
      ending.abort();
      await looking;
    },
  };
};
