// Rings when something was appended to a chain of the ledger: a subscription to all streams from now on, whose events are
// let go at once. What it says is a hint; the feed reads the streams. So nothing is held, whatever comes and however often
// it is made anew, but the names of the tenants that rang and were not looked at yet.
import { setTimeout as pause } from 'node:timers/promises';
import { END, streamNameFilter } from '@eventstore/db-client';
import { type TenantId, tenantId } from '#schemas/ids.ts';
import type { EventStore } from './connect.ts';

export type Rung = 'all' | ReadonlySet<TenantId>;

export interface Bell {
  /** For one subscriber: what rang since it asked last, and the promise of the next ring. */
  readonly listen: () => Listening;
  readonly done: Promise<void>;
}

export interface Listening extends Disposable {
  /** Empties it. Everything, when the connection was away. */
  readonly take: () => Rung;
  readonly next: () => Promise<void>;
}

interface Ear {
  all: boolean;
  readonly tenants: Set<TenantId>;
  ring: PromiseWithResolvers<void>;
}

const AGAIN_AFTER_MS = 500;

export const bell = (store: EventStore, signal: AbortSignal): Bell => {
  const ears = new Set<Ear>();
  const ring = (tenant?: TenantId): void => {
    for (const ear of ears) {
      if (tenant === undefined) ear.all = true;
      else ear.tenants.add(tenant);
      ear.ring.resolve();
    }
  };
  return {
    listen: () => listening(ears),
    done: ringing(store, signal, ring),
  };
};

const listening = (ears: Set<Ear>): Listening => {
  const ear: Ear = { all: false, tenants: new Set(), ring: Promise.withResolvers() };
  ears.add(ear);
  return {
    take: () => {
      const rung = ear.all ? 'all' : new Set(ear.tenants);
      ear.all = false;
      ear.tenants.clear();
      ear.ring = Promise.withResolvers();
      return rung;
    },
    next: () => ear.ring.promise,
    [Symbol.dispose]: () => void ears.delete(ear),
  };
};

const ringing = async (
  store: EventStore,
  signal: AbortSignal,
  ring: (tenant?: TenantId) => void,
): Promise<void> => {
  while (!signal.aborted) {
    await ringUntilLost(store, signal, ring);
    // Without the right to read all streams this comes round for ever, and the feed's poll does the work.
    await pause(AGAIN_AFTER_MS, undefined, { signal }).catch(() => undefined);
  }
};

const ringUntilLost = async (
  { client, credentials, streams: { chainPrefix } }: EventStore,
  signal: AbortSignal,
  ring: (tenant?: TenantId) => void,
): Promise<void> => {
  const news = client.subscribeToAll({
    fromPosition: END,
    filter: streamNameFilter({ prefixes: [chainPrefix] }),
    credentials,
  });
  const { promise: over, resolve: end } = Promise.withResolvers<void>();
  news.on('error', () => end());
  news.on('end', () => end());
  news.on('close', () => end());
  news.on('confirmation', () => ring());
  news.on('data', ({ event }) => {
    if (event?.streamId.startsWith(chainPrefix)) ring(tenantId(event.streamId.slice(chainPrefix.length)));
  });
  const aborted = (): void => end();
  signal.addEventListener('abort', aborted);
  if (signal.aborted) end();
  await over;
  signal.removeEventListener('abort', aborted);
  await news.unsubscribe().catch(() => undefined);
  news.destroy();
};
