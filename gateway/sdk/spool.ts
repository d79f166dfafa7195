// `@prov-ledger/sdk/spool`: receipts are kept on disk first and delivered, in order, when the service answers. Node only.
//
// Law: `record` resolves when the receipt is kept; from then on it is delivered once, through kill -9 of the process
// and any outage of the service. With `fsync: 'always'` (unless told otherwise) kept means synced to the disk, and
// outlives a power cut too; with 'never' it means handed to the operating system, which outlives the process only.
// A delivery that was cut short is made again: the receipt's id, made before it was kept, lets the ledger count it once.
import { mkdirSync } from 'node:fs';
import { deliveryOf, readCursor } from './spool-delivery.ts';
import { SpoolError } from './spool-error.ts';
import { tryLock } from './spool-lock.ts';
import type { CarriedSpoolOptions, SpoolOptions, SpoolStatus } from './spool-options.ts';
import { recoverSegments } from './spool-segments.ts';
import { writerOf } from './spool-writer.ts';
import { transport } from './transport.ts';
import type { ReceiptBody, RecordedReceipt } from './types.ts';
import { uuidMaker } from './uuid.ts';

export { SpoolError, type SpoolErrorCode } from './spool-error.ts';
export type { CarriedSpoolOptions, Keeping, SpoolOptions, SpoolStatus } from './spool-options.ts';

export interface Spool extends AsyncDisposable {
  /** Resolves to the receipt's id when it is kept. Rejects with SpoolError: then it was not kept. */
  record(receipt: ReceiptBody): Promise<{ readonly id: string }>;
  /** Resolves when all that was kept is delivered or refused; on the signal, or when the spool is closed, before that. */
  drained(options?: { readonly signal?: AbortSignal }): Promise<void>;
  readonly status: () => SpoolStatus;
  /** Stops delivering and lets the folder go. What is not delivered stays for the next one that opens it. */
  close(): Promise<void>;
}

const RECEIPT_BYTES_MAX = 1 << 20;
const BYTES_LEAST = 4 << 20;

/** Throws SpoolError: `locked`, `corrupt` or `storage`. */
export const openSpool = <R = RecordedReceipt>(options: SpoolOptions | CarriedSpoolOptions<R>): Spool => {
  const { folder, fsync = 'always', bytesMax = 256 << 20 } = options;
  if (!(bytesMax >= BYTES_LEAST)) throw new TypeError(`bytesMax must be ${BYTES_LEAST} at least`);
  mkdirSync(folder, { recursive: true });
  const lock = tryLock(folder);
  if (!lock.held)
    throw new SpoolError('locked', `process ${lock.pid} has the spool ${folder}: give each process its own`);
  try {
    const sizes = recoverSegments(folder);
    const stop = new AbortController();
    const place = readCursor(folder);
    // A new segment is begun: what was cut is never written over, and no number is used twice.
    const segment = Math.max(place.segment, ...sizes.keys()) + 1;
    const parts = { place, sizes, stop: stop.signal, current: () => writer.current() };
    const delivery =
      'via' in options
        ? deliveryOf({ ...parts, options })
        : deliveryOf({ ...parts, options: { ...options, via: transport(options) } });
    const writer = writerOf({ folder, sizes, segment, fsync, bytesMax, written: delivery.start });
    const newId = uuidMaker();
    delivery.start();
    const close = async (): Promise<void> => {
      if (stop.signal.aborted) return;
      stop.abort();
      await writer.close();
      await delivery.idle();
      lock.release();
    };
    return {
      record: async (receipt) => {
        if (stop.signal.aborted) throw new SpoolError('closed', 'the spool is closed');
        const id = receipt.id ?? newId();
        await writer.append(
          textOf({ ...receipt, id, created_at: receipt.created_at ?? new Date().toISOString() }),
        );
        return { id };
      },
      drained: async ({ signal } = {}) => {
        await writer.idle();
        await delivery.drained(signal);
      },
      status: delivery.status,
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    lock.release();
    throw error;
  }
};

const textOf = (receipt: ReceiptBody): string => {
  let json: string;
  try {
    json = JSON.stringify(receipt);
  } catch (cause) {
    throw new SpoolError('not-taken', 'the receipt is no JSON value', cause);
  }
  if (Buffer.byteLength(json) > RECEIPT_BYTES_MAX)
    throw new SpoolError('not-taken', `the receipt has more than ${RECEIPT_BYTES_MAX} bytes`);
  return json;
};
