// What `@prov-ledger/sdk` exports: runs in Node 20 and later, in Bun and in browsers, with nothing of its own but the
// platform's fetch and WebCrypto. What needs Node is behind `./spool`, `./express`, `./fastify` and `./operation`.
export {
  type BatchOptions,
  type Client,
  type ClientOptions,
  createClient,
  type ReadOptions,
  type RecordOptions,
} from './client.ts';
export { ClientError, type ClientErrorCode } from './errors.ts';
export type { QueueOptions } from './queue.ts';
export {
  type Covered,
  type LedgerMessage,
  type LedgerReader,
  type LedgerReaderOptions,
  ledgerReader,
  type ReaderPosition,
  type Taken,
} from './reader.ts';
export type { RetryOptions } from './retry.ts';
export type { TransportOptions } from './transport.ts';
export type * from './types.ts';
export { verifyReceipt } from './verify.ts';
