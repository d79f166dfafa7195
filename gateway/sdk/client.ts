// Records receipts: many at once, in order, each until it has a last word. One batch is under way at a time, so that
// receipts stand in the chain in the order in which they were recorded; what waits meanwhile makes the next batch.
import { abortedBy, askUntilAnswered, DEADLINE_MS, jitter } from './asking.ts';
import { ClientError } from './errors.ts';
import { type Entry, type Queue, type QueueOptions, queueOf } from './queue.ts';
import { pause, type RetryOptions, waitMs } from './retry.ts';
import { type Outcome, type Transport, type TransportOptions, transport } from './transport.ts';
import type { HeadDocument, KeySet, ReceiptBody, ReceiptBundle, RecordedReceipt } from './types.ts';
import { uuidMaker } from './uuid.ts';

export interface ClientOptions extends TransportOptions {
  readonly batch?: BatchOptions;
  readonly queue?: QueueOptions;
  readonly retry?: RetryOptions;
}

export interface BatchOptions {
  /** At most 10,000, which is the service's own limit: 500 unless given. */
  readonly receiptsMax?: number;
  /** 4 MiB unless given; the service takes 64 MiB. */
  readonly bytesMax?: number;
  /** How long the first receipt waits for company, in milliseconds: 2 unless given. */
  readonly lingerMs?: number;
}

export interface RecordOptions {
  readonly signal?: AbortSignal;
  /** W3C Trace Context of the operation: receipts with another one travel in another request. */
  readonly traceparent?: string;
}

export interface Client extends AsyncDisposable {
  /**
   * Resolves when the ledger holds the receipt, durably and signed. An id and a time are made before the first try,
   * so trying again never records twice. Rejects with ClientError.
   */
  record(receipt: ReceiptBody, options?: RecordOptions): Promise<RecordedReceipt>;
  /** The receipt with its proof. Rejects with ClientError, `not-found` among others. */
  receipt(id: string, options?: ReadOptions): Promise<ReceiptBundle>;
  head(tenant: string, options?: ReadOptions): Promise<HeadDocument>;
  /** The ledger's public keys. Fetched from the service they prove nothing about that service: compare them once. */
  keys(options?: ReadOptions): Promise<KeySet>;
  /** Resolves when every receipt given so far has its last word, good or bad. Rejects only by the signal. */
  flush(options?: ReadOptions): Promise<void>;
  /** Takes no more; waits for what is under way, `deadlineMs` (5,000 unless given) at most; the rest fails with `closed`. */
  close(options?: { readonly deadlineMs?: number }): Promise<void>;
  /** Receipts without a last word yet. */
  pending(): number;
}

export interface ReadOptions {
  readonly signal?: AbortSignal;
}

export const createClient = (options: ClientOptions): Client => {
  const via = transport(options);
  const queue = queueOf(options.queue ?? {});
  const stop = new AbortController();
  const pump = pumpOf({ via, queue, options, stop: stop.signal });
  const newId = uuidMaker();
  const { deadlineMs = DEADLINE_MS } = options.retry ?? {};
  let closed = false;

  const record: Client['record'] = (receipt, { signal, traceparent } = {}) => {
    const id = receipt.id ?? newId();
    if (closed) return Promise.reject(new ClientError('closed', 'the client is closed', { receiptId: id }));
    if (signal?.aborted) return Promise.reject(abortedBy(signal, id));
    return new Promise((resolve, reject) => {
      const json = textOf({ ...receipt, id, created_at: receipt.created_at ?? new Date().toISOString() });
      const entry = entryOf({
        id,
        json,
        traceparent,
        deadlineMs,
        signal,
        resolve,
        reject,
        gone: queue.sweep,
      });
      void queue.put(entry).then(pump.start, entry.reject);
    });
  };

  const read = readerOf(via, options.retry ?? {});

  const close: Client['close'] = async ({ deadlineMs: closeMs = 5_000 } = {}) => {
    closed = true;
    const timer = setTimeout(() => stop.abort(), closeMs);
    await pump.idle();
    clearTimeout(timer);
    stop.abort();
  };

  return {
    record,
    receipt: (id, reading) =>
      read(`/provenance/receipts/${encodeURIComponent(id)}`, reading) as Promise<ReceiptBundle>,
    head: (tenant, reading) =>
      read(`/ledger/${encodeURIComponent(tenant)}/head`, reading) as Promise<HeadDocument>,
    keys: (reading) => read('/.well-known/jwks.json', reading) as Promise<KeySet>,
    flush: async ({ signal } = {}) => {
      if (signal?.aborted) throw abortedBy(signal);
      await Promise.race([pump.idle(), signal ? untilAborted(signal) : pump.idle()]);
    },
    close,
    pending: () => queue.entries().filter(({ settled }) => !settled).length,
    [Symbol.asyncDispose]: () => close(),
  };
};

const readerOf =
  (via: Transport, retry: RetryOptions) =>
  (path: string, { signal }: ReadOptions = {}): Promise<unknown> =>
    askUntilAnswered((timeoutMs) => via.get(path, { signal, timeoutMs }), { retry, signal });

const textOf = (receipt: ReceiptBody & { readonly id: string }): string => {
  try {
    return JSON.stringify(receipt);
  } catch (cause) {
    throw new ClientError('not-json', 'the receipt is no JSON value', { cause, receiptId: receipt.id });
  }
};

const untilAborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) =>
    signal.addEventListener('abort', () => reject(abortedBy(signal)), { once: true }),
  );

interface EntryOf extends Pick<Entry, 'id' | 'json' | 'traceparent' | 'resolve' | 'reject'> {
  readonly deadlineMs: number;
  readonly signal: AbortSignal | undefined;
  /** Called when the entry was given up while it waited. */
  readonly gone: () => void;
}

/** Settled once: by its outcome, its deadline or its caller's signal. */
const entryOf = ({ deadlineMs, signal, gone, resolve, reject, ...of }: EntryOf): Entry => {
  const settle = (): boolean => {
    if (entry.settled) return false;
    entry.settled = true;
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
    return true;
  };
  const giveUp = (error: ClientError): void => {
    if (settle()) reject(error);
    gone();
  };
  const abort = (): void => giveUp(abortedBy(signal as AbortSignal, of.id));
  const timer = setTimeout(() => giveUp(late(entry)), deadlineMs);
  signal?.addEventListener('abort', abort);
  const entry: Entry = {
    ...of,
    bytes: new TextEncoder().encode(of.json).length,
    deadline: Date.now() + deadlineMs,
    settled: false,
    resolve: (recorded) => {
      if (settle()) resolve(recorded);
    },
    reject: (error) => {
      if (settle()) reject(error);
    },
  };
  return entry;
};

interface PumpParts {
  readonly via: Transport;
  readonly queue: Queue;
  readonly options: ClientOptions;
  readonly stop: AbortSignal;
}

const pumpOf = ({ via, queue, options, stop }: PumpParts) => {
  const { receiptsMax = 500, bytesMax = 4 << 20, lingerMs = 2 } = options.batch ?? {};
  const limits = { receipts: Math.min(receiptsMax, 10_000), bytes: bytesMax };
  let running: Promise<void> | undefined;

  const run = async (): Promise<void> => {
    let attempt = 0;
    if (lingerMs > 0) await pause(lingerMs, stop);
    for (;;) {
      const batch = queue.batch(limits);
      if (stop.aborted) return abandon(queue);
      if (batch.length === 0) return;
      attempt += 1;
      const timeoutMs = Math.max(...batch.map(({ deadline }) => deadline)) - Date.now();
      const outcomes = await via.post(
        batch.map(({ json }) => json),
        { signal: stop, timeoutMs, traceparent: batch[0]?.traceparent },
      );
      const afterMs = settleAll(batch, outcomes);
      queue.sweep();
      if (afterMs === undefined) attempt = 0;
      else await backOff(batch, outcomes, waitMs(attempt, options.retry ?? {}, jitter(afterMs)));
    }
  };

  // Whoever cannot live to see the next try learns now what the last one said.
  const backOff = async (
    batch: readonly Entry[],
    outcomes: readonly Outcome[],
    wait: number,
  ): Promise<void> => {
    const next = Date.now() + wait;
    batch.forEach((entry, index) => {
      const outcome = outcomes[index];
      if (outcome?.kind === 'again' && entry.deadline <= next) entry.reject(late(entry, outcome.error));
    });
    queue.sweep();
    if (batch.some(({ settled }) => !settled)) await pause(wait, stop);
  };

  const start = (): void => {
    running ??= run().finally(() => {
      running = undefined;
      // Something may have come between the last look and this.
      if (queue.entries().some(({ settled }) => !settled) && !stop.aborted) start();
    });
  };

  const idle = async (): Promise<void> => {
    // What was recorded in this turn is not in the queue yet.
    await pause(0);
    while (running) await running;
  };
  return { start, idle };
};

/** The longest wait that the service asked for; `undefined` when nothing has to be tried again. */
const settleAll = (batch: readonly Entry[], outcomes: readonly Outcome[]): number | undefined => {
  let afterMs: number | undefined;
  batch.forEach((entry, index) => {
    const outcome = outcomes[index];
    switch (outcome?.kind) {
      case 'recorded':
        return entry.resolve(outcome.receipt);
      case 'final': {
        const { code, message, problem, cause } = outcome.error;
        return entry.reject(new ClientError(code, message, { problem, cause, receiptId: entry.id }));
      }
      case 'again':
        afterMs = Math.max(afterMs ?? 0, outcome.afterMs);
        return undefined;
      default:
        return outcome satisfies undefined;
    }
  });
  return afterMs;
};

const late = ({ id }: Entry, last?: ClientError): ClientError =>
  new ClientError('deadline', last ? `not recorded in time: ${last.message}` : 'not sent in time', {
    cause: last,
    problem: last?.problem,
    receiptId: id,
  });

const abandon = (queue: Queue): void => {
  for (const { reject, id } of queue.entries())
    reject(
      new ClientError('closed', 'the client was closed before the receipt was recorded', { receiptId: id }),
    );
  queue.sweep();
};
