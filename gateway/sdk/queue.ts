// Receipts that wait to be sent, in bounded memory. Whoever finds it full waits in line, or is turned away.
import { ClientError } from './errors.ts';
import type { RecordedReceipt } from './types.ts';

export interface QueueOptions {
  /** 10,000 unless given. */
  readonly receiptsMax?: number;
  /** Of JSON text: 16 MiB unless given. */
  readonly bytesMax?: number;
  /** `wait` (unless told): `record` takes the receipt when there is room. `reject`: it fails with `queue-full`. */
  readonly whenFull?: 'wait' | 'reject';
}

export interface Entry {
  readonly id: string;
  readonly json: string;
  /** In UTF-8. */
  readonly bytes: number;
  readonly traceparent: string | undefined;
  /** Milliseconds since the Unix epoch. */
  readonly deadline: number;
  readonly resolve: (receipt: RecordedReceipt) => void;
  readonly reject: (error: ClientError) => void;
  settled: boolean;
}

export interface Queue {
  /** Resolves when the entry is in the queue; rejects with `queue-full`, or what `giveUp` settles it with. */
  put(entry: Entry): Promise<void>;
  /** The next batch, in order, all with the traceparent of the first; empty when nothing waits. They stay counted. */
  batch(limits: { readonly receipts: number; readonly bytes: number }): readonly Entry[];
  /** Forgets settled entries and lets in who waits for room. */
  sweep(): void;
  readonly entries: () => readonly Entry[];
}

export const queueOf = ({
  receiptsMax = 10_000,
  bytesMax = 16 << 20,
  whenFull = 'wait',
}: QueueOptions): Queue => {
  let held: Entry[] = [];
  let bytes = 0;
  let outside: { readonly entry: Entry; readonly enter: () => void }[] = [];
  // One that alone is larger than the queue may pass through an empty one.
  const fits = (entry: Entry): boolean =>
    held.length === 0 || (held.length < receiptsMax && bytes + entry.bytes <= bytesMax);
  const take = (entry: Entry): void => {
    held.push(entry);
    bytes += entry.bytes;
  };
  const admit = (): void => {
    outside = outside.filter(({ entry, enter }) => {
      if (entry.settled) enter();
      return !entry.settled;
    });
    while (outside[0] && fits(outside[0].entry)) {
      const { entry, enter } = outside.shift() as (typeof outside)[number];
      take(entry);
      enter();
    }
  };
  return {
    put: async (entry) => {
      if (outside.length === 0 && fits(entry)) return take(entry);
      if (whenFull === 'reject')
        throw new ClientError('queue-full', `${held.length} receipts wait already`, { receiptId: entry.id });
      return await new Promise((enter) => outside.push({ entry, enter }));
    },
    batch: (limits) => {
      const batch: Entry[] = [];
      let size = 0;
      for (const entry of held) {
        if (entry.settled) continue;
        const [first] = batch;
        if (first && entry.traceparent !== first.traceparent) break;
        if (first && (batch.length >= limits.receipts || size + entry.bytes > limits.bytes)) break;
        batch.push(entry);
        size += entry.bytes + 1;
      }
      return batch;
    },
    sweep: () => {
      held = held.filter((entry) => !entry.settled);
      bytes = held.reduce((sum, entry) => sum + entry.bytes, 0);
      admit();
    },
    entries: () => [...held, ...outside.map(({ entry }) => entry)],
  };
};
