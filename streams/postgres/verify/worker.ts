// A thread that verifies one range of a chain over a connection of its own.
import { parentPort, workerData } from 'node:worker_threads';
import { keyFromJwk } from '#proofs/keys/public-key.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import { connect, RUNTIME_ROLE } from '../connect.ts';
import { type RangeResult, verifyRange } from './range.ts';

export interface RangeTask {
  readonly url: string;
  readonly ledgerId: string;
  readonly tenant: TenantId;
  readonly tenantNo: number;
  readonly from: Seq;
  readonly to: Seq;
  /** Public JWKs. */
  readonly keys: readonly unknown[];
}

export type RangeMessage =
  | { readonly kind: 'progress'; readonly facts: number }
  | { readonly kind: 'result'; readonly result: RangeResult };

const port = parentPort;
if (!port) throw new Error('streams/postgres/verify/worker.ts runs in a worker thread only');
const { url, keys: jwks, ...task } = workerData as RangeTask;
const stop = new AbortController();
port.once('message', () => stop.abort());
const pool = connect({ url, max: 3, role: RUNTIME_ROLE, name: 'prov-ledger verify' });
try {
  const keys = new Map(jwks.map(keyFromJwk).map((key) => [key.kid, key]));
  const onProgress = (facts: number): void =>
    port.postMessage({ kind: 'progress', facts } satisfies RangeMessage);
  const result = await verifyRange({ ...task, pool, keys, onProgress, signal: stop.signal });
  port.postMessage({ kind: 'result', result } satisfies RangeMessage);
} finally {
  await pool.end();
  port.close();
}
