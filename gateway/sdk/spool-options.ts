// What a spool is told, and what it says of itself.
import type { ClientError } from './errors.ts';
import type { RetryOptions } from './retry.ts';
import type { Carrier, TransportOptions } from './transport.ts';
import type { ProblemDocument, ReceiptBody, RecordedReceipt } from './types.ts';

/** Where receipts are kept, and who is told of them. */
export interface Keeping<R> {
  /** A folder for this spool alone; made when it is not there. */
  readonly folder: string;
  readonly fsync?: 'always' | 'never';
  /** Of all files together: 256 MiB unless given, 4 MiB at least. */
  readonly bytesMax?: number;
  readonly retry?: Omit<RetryOptions, 'deadlineMs'>;
  /** Told of each receipt that was taken. */
  readonly onDelivered?: (receipt: R) => void;
  /** Told of each receipt that the service will never take; it is kept in `refused.ndjson` with the reason. */
  readonly onRefused?: (receipt: ReceiptBody, error: ClientError) => void;
}

/** Delivered over HTTP. */
export interface SpoolOptions extends TransportOptions, Keeping<RecordedReceipt> {}

/** Delivered by something else, for example `kafkaReceipts`; it is not closed with the spool. */
export interface CarriedSpoolOptions<R> extends Keeping<R> {
  readonly via: Carrier<R>;
}

export interface SpoolStatus {
  /** Of all files together, delivered parts of a file that is not yet deleted among them. */
  readonly bytes: number;
  readonly drained: boolean;
  /** What stands in the way of the delivery: what the service said last, or why it did not answer. */
  readonly trouble: { readonly message: string; readonly problem: ProblemDocument | undefined } | undefined;
}
