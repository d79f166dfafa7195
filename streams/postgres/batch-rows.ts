// A signed commit batch as rows: one row of ledger.batches says which tenants it covers, from which seq on, how many
// facts of each, and the Merkle root of those facts. The path of any fact can be worked out again from that and from
// the facts' own hashes, so no path is stored.

import type { ChainPosition } from '#proofs/chain.ts';
import type { BatchStatement, Share, SignedStatement } from '#proofs/checkpoint.ts';
import { instantText, type Seq, type Sha256 } from '#schemas/ids.ts';
import { binaryWriter, readInt64 } from './binary.ts';
import type { Client } from './connect.ts';
import { copyIn } from './copy.ts';
import type { Plan, PlannedTenant } from './plan.ts';
import { COPY_COLUMNS, writeCopyRow } from './rows.ts';

/** What one batch holds of one tenant. */
export interface BatchShare extends Share {
  readonly tenantNo: number;
  readonly firstSeq: Seq;
}

const SHARE_BYTES = 4 + 8 + 4 + 32;

export const encodeLayout = (shares: readonly BatchShare[]): Buffer => {
  const layout = Buffer.alloc(shares.length * SHARE_BYTES);
  for (const [index, share] of shares.entries()) {
    const at = index * SHARE_BYTES;
    layout.writeInt32BE(share.tenantNo, at);
    layout.writeBigInt64BE(BigInt(share.firstSeq), at + 4);
    layout.writeInt32BE(share.count, at + 12);
    layout.write(share.root, at + 16, 32, 'hex');
  }
  return layout;
};

export const decodeLayout = (layout: Buffer): readonly BatchShare[] =>
  Array.from({ length: layout.length / SHARE_BYTES }, (_, index) => {
    const at = index * SHARE_BYTES;
    return {
      tenantNo: layout.readInt32BE(at),
      firstSeq: readInt64(layout, at + 4) as Seq,
      count: layout.readInt32BE(at + 12),
      root: layout.toString('hex', at + 16, at + SHARE_BYTES) as Sha256,
    };
  });

const NUMBERS_PER_CALL = 256;

export interface BatchNumbers {
  next(client: Pick<Client, 'query'>): Promise<number>;
  /** A number at hand; `undefined` when the database must be asked. */
  atHand(): number | undefined;
  /** Goes on behind the highest number that is stored: after a restore that brought the rows but not the sequence. */
  skipStored(client: Pick<Client, 'query'>): Promise<void>;
}

/** Numbers for batches, taken from the database 256 at a time; a gap means that a process stopped, nothing more. */
export const batchNumbers = (): BatchNumbers => {
  let next = 0;
  let end = 0;
  const take = async (
    client: Pick<Client, 'query'>,
    text: string,
    values: readonly number[] = [],
  ): Promise<void> => {
    const { rows } = await client.query<{ first: number | null }>(text, [...values]);
    next = rows[0]?.first ?? 0;
    end = next + NUMBERS_PER_CALL;
  };
  return {
    next: async (client) => {
      if (next === end) await take(client, "SELECT nextval('ledger.batch_no') AS first");
      return next++;
    },
    atHand: () => (next === end ? undefined : next++),
    skipStored: async (client) => {
      await take(client, "SELECT nextval('ledger.batch_no') AS first");
      const skip = `SELECT max(nextval('ledger.batch_no')) AS first
        FROM generate_series(0, (SELECT coalesce(max(batch_no), 0) - $1 FROM ledger.batches) / ${NUMBERS_PER_CALL})`;
      await take(client, skip, [next]);
      if (next === 0) end = 0;
    },
  };
};

export interface SignedBatch {
  readonly batchNo: number;
  readonly statement: BatchStatement;
  readonly signed: SignedStatement;
  readonly shares: readonly BatchShare[];
}

export const sharesOf = (
  tenants: readonly PlannedTenant[],
  shares: readonly Share[],
): readonly BatchShare[] =>
  shares.map((share, index) => {
    const { head } = tenants[index] as PlannedTenant;
    return { ...share, tenantNo: head.tenantNo, firstSeq: (head.seq + 1) as Seq };
  });

/**
 * Everything of a batch put into its wire form; what comes back sends it, in one transaction of its own or in the
 * client's. It fails as a whole with PL001 when a head has moved.
 */
export const encodeBatch = (
  batch: SignedBatch,
  { tenants, rows }: Pick<Plan<unknown>, 'tenants' | 'rows'>,
): ((client: Client) => Promise<void>) => {
  const writer = binaryWriter(rows.length * 1_024);
  // In one order for all processes: two that take the same places of two tenants crosswise would wait for each other.
  const ordered = tenants.length === 1 ? rows : rows.toSorted((a, b) => a.tenantNo - b.tenantNo);
  for (const row of ordered) writeCopyRow(writer, row, batch.batchNo);
  const bytes = writer.take();
  const moves = tenants.map(({ head, facts }) => ({
    tenantNo: head.tenantNo,
    before: head,
    after: facts.at(-1) as ChainPosition,
  }));
  const behind = sealCall(batch, moves);
  return (client) => copyIn(client, { target: FACTS, rows: bytes, behind });
};

export const FACTS = `ledger.facts (${COPY_COLUMNS})`;

/** One tenant's head, from where it is expected to where it goes. */
export interface HeadMove {
  readonly tenantNo: number;
  readonly before: Pick<ChainPosition, 'seq' | 'hash'>;
  readonly after: ChainPosition;
}

const KID = /^[A-Za-z0-9_-]+$/;

/** `CALL ledger.seal_batch(…)` as text, for the statement behind a COPY: numbers, hexadecimal, times and a kid only. */
export const sealCall = (
  { batchNo, statement, signed, shares }: SignedBatch,
  moves: readonly HeadMove[],
): string => {
  if (!KID.test(signed.kid)) throw new TypeError(`${signed.kid} is no kid`);
  const array = (type: string, value: (move: HeadMove) => string): string =>
    `'{${moves.map(value).join(',')}}'::${type}[]`;
  const hex = (digits: string): string => `"\\\\x${digits}"`;
  const bytes = (value: Buffer | string): string =>
    `'\\x${typeof value === 'string' ? value : value.toString('hex')}'::bytea`;
  return `CALL ledger.seal_batch(${[
    array('int', (move) => String(move.tenantNo)),
    array('bigint', (move) => String(move.before.seq)),
    array('bytea', (move) => hex(move.before.hash)),
    array('bigint', (move) => String(move.after.seq)),
    array('bytea', (move) => hex(move.after.hash)),
    array('timestamptz', (move) => instantText(move.after.recordedAt)),
    String(batchNo),
    `'${signed.kid}'`,
    `'${instantText(statement.signedAt)}'::timestamptz`,
    bytes(statement.root),
    bytes(signed.signature),
    bytes(encodeLayout(shares)),
  ].join(', ')})`;
};
