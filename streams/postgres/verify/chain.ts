// Verifies a tenant's whole stored chain with several threads: each takes a range, and the ranges must join.
import { Worker } from 'node:worker_threads';
import type { ChainPosition } from '#proofs/chain.ts';
import type { VerificationKey } from '#proofs/keys/public-key.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import { decodeLayout } from '../batch-rows.ts';
import { type Pool, streamError, withClient } from '../connect.ts';
import { readHeads, type StoredHead } from '../reader.ts';
import type { RangeResult, StoredFault } from './range.ts';
import type { RangeMessage, RangeTask } from './worker.ts';

export interface StoredChainRequest {
  readonly pool: Pool;
  /** Of the same database: each thread connects for itself. */
  readonly url: string;
  readonly ledgerId: string;
  readonly tenant: TenantId;
  /** Public keys that may have signed. */
  readonly keys: readonly VerificationKey[];
  /** 2 unless told. */
  readonly threads?: number;
  /** A thread is not worth its start for fewer; 20,000 unless told. */
  readonly leastFactsPerThread?: number;
  /** Facts verified since the last call. */
  readonly onProgress?: (facts: number) => void;
  readonly signal?: AbortSignal;
}

export interface StoredChainResult {
  readonly facts: number;
  readonly batches: number;
  /** The last place up to which everything is sound. */
  readonly head: ChainPosition;
  readonly fault?: { readonly seq: Seq; readonly code: StoredFault };
}

/** `undefined` when there is no such tenant. Throws `StreamError`. */
export const verifyStoredChain = async (
  request: StoredChainRequest,
): Promise<StoredChainResult | undefined> => {
  try {
    const [head] = await withClient(request.pool, (client) => readHeads(client, [request.tenant]));
    if (!head || head.seq === 0) return undefined;
    const starts = await rangeStarts(request, head);
    const results = await Promise.all(
      starts.map((from, index) =>
        runThread(request, {
          tenantNo: head.tenantNo,
          from,
          to: ((starts[index + 1] ?? head.seq + 1) - 1) as Seq,
        }),
      ),
    );
    return joined(results, head);
  } catch (error) {
    throw streamError(error);
  }
};

/** Where the ranges begin: each where a commit batch does, so that no batch is cut. */
const rangeStarts = async (
  { pool, threads = 2, leastFactsPerThread = 20_000 }: StoredChainRequest,
  head: StoredHead,
): Promise<readonly Seq[]> => {
  const count = Math.max(1, Math.min(threads, Math.floor(head.seq / leastFactsPerThread)));
  const starts = new Set<number>([1]);
  for (let index = 1; index < count; index += 1) {
    const middle = Math.floor((head.seq * index) / count) + 1;
    const { rows } = await pool.query<{ layout: Buffer }>(
      'SELECT b.layout FROM ledger.facts f JOIN ledger.batches b USING (batch_no) WHERE f.tenant_no = $1 AND f.seq = $2',
      [head.tenantNo, middle],
    );
    const share =
      rows[0] &&
      decodeLayout(rows[0].layout).find((each) => each.tenantNo === head.tenantNo && each.firstSeq <= middle);
    if (share) starts.add(share.firstSeq);
  }
  return [...starts].sort((a, b) => a - b) as Seq[];
};

const runThread = async (
  { url, ledgerId, tenant, keys, onProgress, signal }: StoredChainRequest,
  range: Pick<RangeTask, 'tenantNo' | 'from' | 'to'>,
): Promise<RangeResult> => {
  const task: RangeTask = { ...range, url, ledgerId, tenant, keys: keys.map((key) => key.publicJwk) };
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: task });
  const stop = (): void => worker.postMessage('stop');
  signal?.addEventListener('abort', stop, { once: true });
  const { promise, resolve, reject } = Promise.withResolvers<RangeResult>();
  worker.on('message', (message: RangeMessage) => {
    if (message.kind === 'result') resolve(message.result);
    else onProgress?.(message.facts);
  });
  worker.on('error', reject);
  worker.on('exit', () => reject(new Error('a verifying thread ended without a result')));
  try {
    return await promise;
  } finally {
    signal?.removeEventListener('abort', stop);
    await worker.terminate();
  }
};

const joined = (results: readonly RangeResult[], head: StoredHead): StoredChainResult => {
  let facts = 0;
  let batches = 0;
  let place: ChainPosition | undefined;
  for (const result of results) {
    facts += result.facts;
    batches += result.batches;
    const total = { facts, batches };
    if (place && (place.hash !== result.before.hash || place.seq !== result.before.seq)) {
      return { ...total, head: place, fault: { seq: (place.seq + 1) as Seq, code: 'broken-link' } };
    }
    place = result.after;
    if (result.fault) return { ...total, head: place, fault: result.fault };
  }
  const end = place as ChainPosition;
  const total = { facts, batches, head: end };
  return end.seq === head.seq && end.hash !== head.hash
    ? { ...total, fault: { seq: head.seq, code: 'broken-link' } }
    : total;
};
