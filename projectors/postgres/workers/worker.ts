// One of several processes that keep the read models: the live runner over the tenants whose slots it holds. It says every
// third of its lease that it is alive. Slots that it gains begin at their checkpoints; those that it loses it leaves where
// they are, and should it be asleep when that happens, its next step finds another epoch and changes nothing.
import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { type RunOptions, runProjectors } from '#projectors/run.ts';
import type { RowSink } from '#projectors/sink.ts';
import type { TenantId } from '#schemas/ids.ts';
import type { StreamError } from '#streams/errors.ts';
import { type Pool, streamError } from '#streams/postgres/connect.ts';
import type { StreamFeed } from '#streams/stream.ts';
import { processName } from '../rebuild/claim.ts';
import { postgresRowSink, type RowSinkOptions } from '../sink.ts';
import { type HeldSlots, leaveSlots, settleSlots, slotFence, slotOf, type WorkerRef } from './slots.ts';

/** Keeps only the tenants for which `takes` is true, asked anew at each look. */
export type FeedOf = (takes: (tenant: TenantId) => boolean) => StreamFeed;

export interface WorkerOptions
  extends Omit<RunOptions, 'feed' | 'sink' | 'untilCaughtUp'>,
    Pick<RowSinkOptions, 'sources' | 'skips'> {
  readonly pool: Pool;
  readonly feedOf: FeedOf;
  /** How long it may be silent before others take its tenants; 10,000 ms unless told. */
  readonly leaseMs?: number;
  /** Told of the number of slots held whenever it changes. */
  readonly onSlots?: (held: number) => void;
}

const LEASE_MS = 10_000;

/** Runs until the signal; then gives its slots up. Throws as `runProjectors` does. */
export const runWorker = async (options: WorkerOptions): Promise<void> => {
  const { pool, signal, leaseMs = LEASE_MS, feedOf } = options;
  const ref: WorkerRef = { worker: `${processName()}/${randomBytes(3).toString('hex')}`, leaseMs };
  const share: Share = { held: new Map(), changed: Promise.withResolvers(), run: new AbortController() };
  const known = new Map<TenantId, number>();
  const takes = (tenant: TenantId): boolean => {
    const slot = known.get(tenant) ?? slotOf(tenant);
    known.set(tenant, slot);
    return share.held.has(slot);
  };
  const ended = new AbortController();
  const over = AbortSignal.any([signal, ended.signal]);
  const beating = beat(options, { ref, share, over });
  const feed = feedOf(takes);
  const sink = ownOnly(postgresRowSink({ ...options, fence: slotFence(ref, () => share.held) }), takes);
  try {
    while (!signal.aborted) {
      const { promise } = share.changed;
      if (share.held.size === 0) await promise;
      share.run = new AbortController();
      await runProjectors({ ...options, feed, sink, signal: AbortSignal.any([over, share.run.signal]) });
    }
  } finally {
    ended.abort();
    await beating;
    await feed[Symbol.asyncDispose]();
    // A server that is away gives the slots to others when the lease is over.
    await leaveSlots(pool, ref.worker).catch(() => undefined);
  }
};

interface Share {
  held: HeldSlots;
  /** Resolves at the next change, and at the end. */
  changed: PromiseWithResolvers<void>;
  /** Ends the subscription, which begins anew with what was gained. */
  run: AbortController;
}

interface Beating {
  readonly ref: WorkerRef;
  readonly share: Share;
  readonly over: AbortSignal;
}

const beat = async (
  { pool, onSlots, onRetry }: WorkerOptions,
  { ref, share, over }: Beating,
): Promise<void> => {
  while (!over.aborted) {
    try {
      const held = await settleSlots(pool, ref);
      const gained = [...held].some(([slot, epoch]) => share.held.get(slot) !== epoch);
      const changed = gained || held.size !== share.held.size;
      share.held = held;
      if (gained) share.run.abort();
      if (changed) {
        ring(share);
        onSlots?.(held.size);
      }
    } catch (error) {
      onRetry?.(streamError(error) satisfies StreamError, ref.leaseMs / 3);
    }
    await pause(ref.leaseMs / 3, undefined, { signal: over }).catch(() => undefined);
  }
  ring(share);
};

const ring = (share: Share): void => {
  share.changed.resolve();
  share.changed = Promise.withResolvers();
};

/** Where other workers' tenants are is theirs to know, and to tell. */
const ownOnly = (sink: RowSink, takes: (tenant: TenantId) => boolean): RowSink => ({
  ...sink,
  checkpoints: async (projector, tenant) => {
    const found = await sink.checkpoints(projector, tenant);
    return tenant === undefined ? found.filter((checkpoint) => takes(checkpoint.tenant)) : found;
  },
});
