// The Postgres StreamFeed: heads say which tenants have more than was delivered, pages of facts follow. One
// notification per commit batch wakes it; a poll, whose interval bounds the delay, makes lost notifications harmless.
// Whoever keeps up is given what came in some milliseconds together, since a look costs as much for one fact as for many.
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { GENESIS_HASH } from '#proofs/chain.ts';
import type { Seq, Sha256, TenantId } from '#schemas/ids.ts';
import type { FeedBatch, StreamFeed, SubscribeOptions } from '#streams/stream.ts';
import { type Client, isConnectionFailure, type Pool, streamError, withClient } from './connect.ts';
import { isReadable, readHeads, readWholePage, type StoredHead } from './reader.ts';
import { turnsOf } from './round.ts';

export interface PostgresFeedOptions {
  readonly pool: Pool;
  /** Longest wait for new facts when no notification arrives; 1,000 unless told. */
  readonly pollMs?: number;
  /** Never listen for notifications: poll only (for a pooler in transaction mode). */
  readonly pollOnly?: boolean;
  /** How often the listening connection is asked whether it still hears; 30,000 unless told. */
  readonly heartbeatMs?: number;
  /** Delivers only tenants for which this is true, those yet to come too; asked anew at each look at the heads. */
  readonly only?: ((tenant: TenantId) => boolean) | undefined;
}

/** Between the beginnings of two looks at the heads where the first one found all that there was. */
const APART_MS = 20;

export const postgresStreamFeed = ({
  pool,
  pollMs = 1_000,
  pollOnly = false,
  heartbeatMs = 30_000,
  only,
}: PostgresFeedOptions): StreamFeed => {
  const closed = new AbortController();
  const bell = pollOnly ? undefined : listener(pool, closed.signal, heartbeatMs);
  return {
    subscribe: (options) => deliver({ pool, pollMs, bell, closed: closed.signal, only }, options),
    [Symbol.asyncDispose]: async () => {
      closed.abort();
      await bell?.done;
    },
  };
};

interface Delivery {
  readonly pool: Pool;
  readonly pollMs: number;
  readonly bell: Bell | undefined;
  readonly closed: AbortSignal;
  readonly only: PostgresFeedOptions['only'];
}

interface Cursor {
  readonly seq: Seq;
  /** Unknown for the first page after a resume: the page then reads the fact before it for its hash. */
  readonly hash: Sha256 | undefined;
}

const deliver = async function* (
  { pool, pollMs, bell, closed, only }: Delivery,
  options: SubscribeOptions,
): AsyncGenerator<FeedBatch> {
  const { batchSize = 1_000, tenants, untilCaughtUp = false } = options;
  const signal = AbortSignal.any([options.signal, closed]);
  const cursors = new Map<TenantId, Cursor>();
  const cursorOf = (tenant: TenantId): Cursor =>
    cursors.get(tenant) ?? startOf(options.from.get(tenant) ?? (0 as Seq));
  let goal: readonly StoredHead[] | undefined;
  while (!signal.aborted) {
    const since = performance.now();
    // Taken before the heads are read: a commit after this point rings again.
    const rung = bell?.next();
    const heads =
      goal ??
      (await attempt(pool, signal, (client) => readHeads(client, tenants ? [...tenants] : undefined)));
    if (!heads) return;
    if (untilCaughtUp) goal = heads;
    let [delivered, more] = [false, false];
    const own = heads.filter((head) => isReadable(head) && (only?.(head.tenant) ?? true));
    for (const { head, from, to } of turnsOf(own, (tenant) => cursorOf(tenant).seq, batchSize)) {
      more ||= to < head.seq;
      const prevHash = cursorOf(head.tenant).hash;
      const page = await attempt(pool, signal, (client) =>
        readWholePage(client, { head, from, to, prevHash }),
      );
      if (!page) return;
      const facts = page.map((stored) => stored.fact);
      const last = facts.at(-1);
      if (!last) continue;
      cursors.set(head.tenant, { seq: last.seq, hash: last.hash });
      delivered = true;
      yield { tenant: head.tenant, facts };
      if (signal.aborted) return;
    }
    if (delivered && !more && !untilCaughtUp)
      await wait(Math.max(0, since + APART_MS - performance.now()), signal);
    if (delivered) continue;
    if (untilCaughtUp) return;
    await wait(pollMs, signal, rung);
  }
};

const startOf = (seq: Seq): Cursor => ({ seq, hash: seq === 0 ? GENESIS_HASH : undefined });

/** Reads, waiting out an unreachable server; `undefined` once the subscription has ended. */
const attempt = async <T>(
  pool: Pool,
  signal: AbortSignal,
  read: (client: Client) => Promise<T>,
): Promise<T | undefined> => {
  for (let delayMs = 50; !signal.aborted; delayMs = Math.min(delayMs * 2, 2_000)) {
    try {
      return await withClient(pool, read);
    } catch (error) {
      if (!isConnectionFailure(error)) throw streamError(error);
      await wait(delayMs, signal);
    }
  }
  return undefined;
};

/** Resolves after `ms`, or when the signal aborts, or when `rung` does; leaves no timer and no listener behind. */
const wait = async (ms: number, signal: AbortSignal, rung?: Promise<void>): Promise<void> => {
  const over = new AbortController();
  const timer = pause(ms, undefined, { signal: AbortSignal.any([signal, over.signal]) }).catch(
    () => undefined,
  );
  await Promise.race(rung ? [timer, rung] : [timer]);
  over.abort();
};

interface Bell {
  /** Resolves at the next commit batch of any process. */
  next(): Promise<void>;
  readonly done: Promise<void>;
}

/** One connection that listens for commits, made anew whenever it is lost. */
const listener = (pool: Pool, signal: AbortSignal, heartbeatMs: number): Bell => {
  let ring = Promise.withResolvers<void>();
  const ringAll = (): void => {
    ring.resolve();
    ring = Promise.withResolvers<void>();
  };
  const listen = async (): Promise<void> => {
    while (!signal.aborted) {
      let client: Client | undefined;
      let heart: NodeJS.Timeout | undefined;
      try {
        client = await pool.connect();
        const asked = client;
        const lost = once(client, 'end');
        lost.catch(() => undefined);
        client.on('error', () => undefined);
        client.on('notification', ringAll);
        await client.query('LISTEN ledger_facts');
        ringAll();
        // A network that forgot the connection never says so: it is heard from its silence (silence.ts).
        heart = setInterval(() => void asked.query('SELECT').catch(() => undefined), heartbeatMs);
        // The feed may have been closed while the connection was made: that abort is over and fires no more.
        if (!signal.aborted) await Promise.race([lost, once(signal, 'abort')]);
      } catch {
        await wait(500, signal);
      } finally {
        clearInterval(heart);
        client?.removeAllListeners('notification');
        client?.release(true);
      }
    }
  };
  return { next: () => ring.promise, done: listen() };
};
