// The memory StreamStore: the law of streams/ with nothing behind it that outlives the process. For tests and replay.
import type { Instant, Seq, TenantId } from '#schemas/ids.ts';
import { refuseMalformed } from '#streams/append-request.ts';
import { StreamError } from '#streams/errors.ts';
import type { AppendRequest, AppendResult, ReadRange, StreamStore } from '#streams/stream.ts';
import { type CommitOptions, commitBatch } from './commit.ts';
import { factsOf, headOf, headsOf, type MemoryStorage } from './storage.ts';

export interface MemoryStoreOptions extends Omit<CommitOptions, 'clock'> {
  /** The ledger's clock, in milliseconds; the system's unless told. */
  readonly clock?: () => number;
}

interface Waiting {
  readonly request: AppendRequest;
  readonly settle: (result: AppendResult) => void;
  readonly fail: (error: unknown) => void;
}

export const memoryStreamStore = ({ storage, signer, clock = Date.now }: MemoryStoreOptions): StreamStore => {
  const options: CommitOptions = { storage, signer, clock: () => clock() as Instant };
  let queue: Waiting[] = [];
  let running: Promise<void> | undefined;
  let closed = false;

  // Appends made while a batch is being signed go into the next one together.
  const drain = async (): Promise<void> => {
    while (queue.length > 0) {
      await storage.exclusively(async () => {
        const batch = queue;
        queue = [];
        try {
          const results = await commitBatch(
            options,
            batch.map(({ request }) => request),
          );
          for (const [index, { settle }] of batch.entries()) settle(results[index] as AppendResult);
        } catch (error) {
          for (const { fail } of batch) fail(streamError(error));
        }
      });
    }
    running = undefined;
  };

  return {
    ledgerId: storage.ledgerId,
    append: async (request) => {
      if (closed) throw new StreamError('closed', 'the store has been closed: make a new one');
      refuseMalformed(request);
      const answer = new Promise<AppendResult>((settle, fail) => queue.push({ request, settle, fail }));
      running ??= drain();
      return await answer;
    },
    head: async (tenant) => (storage.chains.has(tenant) ? headOf(storage, tenant) : undefined),
    heads: async () => headsOf(storage),
    read: (tenant, range) => pages(storage, tenant, range),
    readStream: async (tenant, stream) => {
      const seqs = storage.chains.get(tenant)?.streams.get(stream) ?? [];
      return seqs.flatMap((at) => factsOf(storage, tenant, at, at));
    },
    find: async (tenant, id) => storage.chains.get(tenant)?.claims.get(id)?.fact,
    proof: async (tenant, at) => storage.chains.get(tenant)?.entries[at - 1]?.proof,
    [Symbol.asyncDispose]: async () => {
      closed = true;
      await running;
    },
  };
};

const streamError = (cause: unknown): StreamError =>
  cause instanceof StreamError
    ? cause
    : new StreamError('unexpected', `the batch could not be signed: ${String(cause)}`, { cause });

const pages = async function* (storage: MemoryStorage, tenant: TenantId, range: ReadRange = {}) {
  const { from = 1, to = Number.MAX_SAFE_INTEGER, pageSize = 1_000 } = range;
  const end: Seq = headOf(storage, tenant).seq;
  const last = Math.min(to, end);
  for (let start = Math.max(1, from); start <= last; start += pageSize) {
    yield factsOf(storage, tenant, start, Math.min(last, start + pageSize - 1));
  }
};
