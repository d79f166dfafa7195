// Bulk append: facts sealed elsewhere go in by binary COPY, and in the same transaction the head moves, the signed
// batch is stored, and whatever the caller adds (read models, checkpoints). Above a few thousand facts this is about
// twice as fast as arrays in a statement.
import type { ChainPosition } from '#proofs/chain.ts';
import { type BatchStatement, type SignedStatement, signBatch, statementOf } from '#proofs/checkpoint.ts';
import { rootOfDigests } from '#proofs/digest-tree.ts';
import type { Signer } from '#proofs/keys/signer.ts';
import type { FactId, Instant, Seq, Sha256, TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import { batchNumbers, FACTS, sealCall } from './batch-rows.ts';
import { binaryArray, OID } from './binary.ts';
import {
  type Client,
  isLostRace,
  type Pool,
  sqlState,
  streamError,
  transaction,
  withClient,
} from './connect.ts';
import { copyIn } from './copy.ts';
import { lockHeads, readHeads, type StoredHead } from './reader.ts';

/** Sealed facts of one tenant, contiguous from behind `before`. */
export interface BulkChunk {
  readonly batchNo: number;
  /** COPY rows of `COPY_COLUMNS`, without header and trailer. */
  readonly rows: Uint8Array;
  readonly count: number;
  readonly before: ChainPosition;
  readonly after: ChainPosition;
  /** The facts' hashes, 32 bytes each. */
  readonly digests: Uint8Array;
}

/** `id-taken`: some id is stored already. `lost-race`: the head is not where the chunk begins. Nothing was stored. */
export type BulkResult = 'appended' | 'id-taken' | 'lost-race';

/** Runs in the transaction, after the facts are in and before the commit. */
export type Alongside = (client: Client) => Promise<void>;

export interface BulkAppender {
  readonly head: () => Promise<StoredHead | undefined>;
  readonly nextBatchNo: () => Promise<number>;
  append(chunk: BulkChunk, alongside?: Alongside): Promise<BulkResult>;
  /** Holds the head while the chunk is made, so that no other writer can win: for an importer that keeps losing. */
  appendLocked(make: (head: StoredHead) => Promise<BulkChunk>, alongside?: Alongside): Promise<BulkResult>;
  /** For each of the ids, the SHA-256 of the request that claimed it, or `undefined`. */
  claims(ids: readonly FactId[]): Promise<readonly (Sha256 | undefined)[]>;
}

export interface BulkOptions {
  readonly pool: Pool;
  readonly ledgerId: string;
  readonly signer: Signer;
  readonly tenant: TenantId;
  readonly clock?: () => number;
}

export const bulkAppender = (options: BulkOptions): BulkAppender => {
  const { pool, tenant } = options;
  const numbers = batchNumbers();
  return {
    head: async () => {
      const [found] = await withClient(pool, (client) => readHeads(client, [tenant]));
      return found && found.seq > 0 ? found : undefined;
    },
    nextBatchNo: async () => await withClient(pool, (client) => numbers.next(client)),
    append: async (chunk, alongside) => {
      return await outcome(
        transaction(pool, async (client) => {
          const copying = copyIn(client, { target: FACTS, rows: chunk.rows });
          // The server takes the rows meanwhile.
          const batch = sign(options, chunk);
          await copying;
          await finish(client, { tenant, chunk, batch: await batch }, alongside);
        }),
      );
    },
    appendLocked: async (make, alongside) =>
      await outcome(
        transaction(pool, async (client) => {
          const [head] = await lockHeads(client, [tenant]);
          if (!head) throw new StreamError('unexpected', `${tenant}: the tenant is gone`);
          const chunk = await make(head);
          if (chunk.count === 0) return;
          const batch = await sign(options, chunk);
          await copyIn(client, { target: FACTS, rows: chunk.rows });
          await finish(client, { tenant, chunk, batch }, alongside);
        }),
      ),
    claims: async (ids) => await withClient(pool, (client) => readClaims(client, tenant, ids)),
  };
};

interface SignedChunk {
  readonly root: Sha256;
  readonly statement: BatchStatement;
  readonly signed: SignedStatement;
}

const sign = (
  { ledgerId, signer, clock = Date.now }: BulkOptions,
  chunk: BulkChunk,
): Promise<SignedChunk> => {
  const root = rootOfDigests(chunk.digests) as Sha256;
  const statement = statementOf({ ledgerId, signedAt: clock() as Instant }, [{ count: chunk.count, root }]);
  const signing = signBatch(statement, signer).then((signed) => ({ root, statement, signed }));
  // Awaited inside the transaction, which may fail before it gets there.
  signing.catch(() => undefined);
  return signing;
};

const finish = async (
  client: Client,
  { tenant, chunk, batch }: { tenant: TenantId; chunk: BulkChunk; batch: SignedChunk },
  alongside?: Alongside,
): Promise<void> => {
  const [head] = await readHeads(client, [tenant]);
  if (!head) throw new StreamError('unexpected', `${tenant}: the tenant is gone`);
  const share = {
    tenantNo: head.tenantNo,
    firstSeq: (chunk.before.seq + 1) as Seq,
    count: chunk.count,
    root: batch.root,
  };
  await client.query(
    sealCall({ batchNo: chunk.batchNo, ...batch, shares: [share] }, [
      { tenantNo: head.tenantNo, before: chunk.before, after: chunk.after },
    ]),
  );
  await alongside?.(client);
};

const outcome = async (work: Promise<void>): Promise<BulkResult> => {
  try {
    await work;
    return 'appended';
  } catch (error) {
    const code = sqlState(error);
    if (code === '23505' && (error as { constraint?: string }).constraint === 'facts_claim')
      return 'id-taken';
    if (code === '23505' || isLostRace(code)) return 'lost-race';
    throw streamError(error);
  }
};

const readClaims = async (
  client: Client,
  tenant: TenantId,
  ids: readonly FactId[],
): Promise<readonly (Sha256 | undefined)[]> => {
  const { rows } = await client.query<{ id: FactId; claim: Sha256 }>({
    name: 'claims',
    text: `SELECT f.id, encode(coalesce(f.request_hash, sha256(f.payload)), 'hex') AS claim
      FROM ledger.heads h JOIN ledger.facts f USING (tenant_no) WHERE h.tenant = $1 AND f.id = ANY ($2::uuid[])`,
    values: [tenant, binaryArray(OID.uuid, ids, (w, id) => w.uuid(id))],
  });
  const claims = new Map(rows.map((row) => [row.id, row.claim]));
  return ids.map((id) => claims.get(id));
};
