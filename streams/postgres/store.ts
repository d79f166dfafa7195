// The Postgres StreamStore: the embedded default and the production store.
import type { Signer } from '#proofs/keys/signer.ts';
import type { FactId, Instant, Seq, Sha256, StreamName, TenantId } from '#schemas/ids.ts';
import { refuseMalformed } from '#streams/append-request.ts';
import { StreamError } from '#streams/errors.ts';
import type { ReadRange, StreamStore } from '#streams/stream.ts';
import { committingAhead } from './ahead.ts';
import { type Batcher, batcher } from './batcher.ts';
import { type CommitDone, commitState, commitSurely } from './commit.ts';
import { type Client, type Pool, streamError, withClient } from './connect.ts';
import { proofsOf } from './proof.ts';
import {
  findFacts,
  isReadable,
  publicHead,
  readHeads,
  readStreamFacts,
  readWholePage,
  type StoredHead,
} from './reader.ts';

export interface PostgresStoreOptions {
  /** The caller's: it is not closed with the store. */
  readonly pool: Pool;
  readonly signer: Signer;
  /** The ledger's clock, in milliseconds; the system's unless told. */
  readonly clock?: () => number;
  /** Facts in one commit at most; 1,000 unless told. */
  readonly maxBatchFacts?: number;
  /** Facts waiting at most before appends are refused as `overloaded`, one tenant's a little before; 50,000 unless told. */
  readonly maxQueuedFacts?: number;
  /** Payload bytes waiting at most; 256 MiB unless told. */
  readonly maxQueuedBytes?: number;
  /** How long appends wait for an unreachable server; 10,000 unless told. */
  readonly retryForMs?: number;
  /** Told of each batch once it is durable, before its appends are answered. Must not throw. */
  readonly onCommit?: ((commit: CommitDone) => void) | undefined;
}

export interface PostgresStore extends StreamStore {
  /** Facts waiting for a commit, for back-pressure and metrics. */
  readonly queuedFacts: () => number;
  /** How full the queue of appends is, from 0 to 1; beyond it they are refused as `overloaded`. */
  readonly queueLoad: () => number;
}

export const postgresStreamStore = async (options: PostgresStoreOptions): Promise<PostgresStore> => {
  const { pool } = options;
  const ledgerId = await readLedgerId(pool);
  const appends = appendsOf({ ...options, ledgerId });
  const reading = async <T>(read: (client: Client) => Promise<T>): Promise<T> => {
    try {
      return await withClient(pool, read);
    } catch (error) {
      throw streamError(error);
    }
  };
  const headOf = async (client: Client, tenant: TenantId): Promise<StoredHead | undefined> => {
    const [head] = await readHeads(client, [tenant]);
    return head && isReadable(head) ? head : undefined;
  };
  const ofTenant = async <T>(
    tenant: TenantId,
    read: (client: Client, head: StoredHead) => Promise<T>,
  ): Promise<T | undefined> =>
    await reading(async (client) => {
      const head = await headOf(client, tenant);
      return head && (await read(client, head));
    });
  return {
    ledgerId,
    queuedFacts: appends.queuedFacts,
    queueLoad: appends.load,
    append: async (request) => {
      refuseMalformed(request);
      return await appends.append(request);
    },
    head: async (tenant) => {
      const head = await reading((client) => headOf(client, tenant));
      return head && publicHead(head);
    },
    heads: async () => (await reading((client) => readHeads(client))).map(publicHead),
    read: (tenant, range) => pages({ reading, headOf }, tenant, range),
    readStream: async (tenant: TenantId, stream: StreamName) =>
      (await ofTenant(tenant, (client, head) => readStreamFacts(client, head, stream)))?.map(
        (stored) => stored.fact,
      ) ?? [],
    find: async (tenant: TenantId, id: FactId) =>
      (await ofTenant(tenant, (client, head) => findFacts(client, head, [id])))?.[0]?.fact,
    proof: async (tenant: TenantId, seq: Seq) =>
      await ofTenant(tenant, async (client, head) =>
        (await proofsOf(client, { ledgerId, head, seqs: [seq] })).get(seq),
      ),
    [Symbol.asyncDispose]: appends.close,
  };
};

const appendsOf = (options: PostgresStoreOptions & { readonly ledgerId: string }): Batcher => {
  const state = commitState({
    ...options,
    clock: (options.clock ?? Date.now) as () => Instant,
    retryForMs: options.retryForMs ?? 10_000,
  });
  return batcher({
    commit: (items) => commitSurely(state, items),
    ahead: committingAhead(state),
    maxFacts: options.maxBatchFacts ?? 1_000,
    maxQueuedFacts: options.maxQueuedFacts ?? 50_000,
    maxQueuedBytes: options.maxQueuedBytes ?? 256 << 20,
  });
};

const readLedgerId = async (pool: Pool): Promise<string> => {
  try {
    const { rows } = await pool.query<{ id: string }>('SELECT id FROM ledger.identity');
    if (rows[0]) return rows[0].id;
  } catch (error) {
    throw streamError(error);
  }
  throw new StreamError(
    'corrupt',
    'ledger.identity is empty: restore it, every signature names the id it held',
  );
};

interface Reads {
  readonly reading: <T>(read: (client: Client) => Promise<T>) => Promise<T>;
  readonly headOf: (client: Client, tenant: TenantId) => Promise<StoredHead | undefined>;
}

/** Pages up to the head as it was at the start. The next page is on its way while the caller works on this one. */
const pages = async function* ({ reading, headOf }: Reads, tenant: TenantId, range: ReadRange = {}) {
  const { from = 1 as Seq, pageSize = 1_000 } = range;
  const head = await reading((client) => headOf(client, tenant));
  if (!head) return;
  const end = Math.min(range.to ?? head.seq, head.seq);
  const page = (start: number, prevHash?: Sha256) =>
    reading((client) =>
      readWholePage(client, {
        head,
        from: start as Seq,
        to: Math.min(end, start + pageSize - 1) as Seq,
        prevHash,
      }),
    );
  let start = Math.max(1, from) as number;
  let next = start <= end ? page(start) : undefined;
  let before: Sha256 | undefined;
  while (next) {
    const facts = (await next).map((stored) => stored.fact);
    before = facts.at(-1)?.hash;
    start += facts.length;
    next = start <= end ? page(start, before) : undefined;
    // Awaited in the next round; until then a failure is not unhandled.
    next?.catch(() => undefined);
    yield facts;
  }
};
