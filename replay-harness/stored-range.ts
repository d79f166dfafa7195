// Ranges of a stored chain for one thread: the facts by binary COPY, each but the first of a range proved from the bytes of
// its row, and for every commit batch in them the root over its facts and the signature over the root. Reads only; facts
// never change and have no holes below a head, so ranges read one after the other are one history, whatever is appended
// meanwhile.
import { isUtf8 } from 'node:buffer';
import { type ChainFault, GENESIS_HASH } from '#proofs/chain.ts';
import { statementBytes } from '#proofs/checkpoint.ts';
import { rootOfDigests } from '#proofs/digest-tree.ts';
import { keyFromJwk, type VerificationKey, verifySignatureAside } from '#proofs/keys/public-key.ts';
import type { Instant, Seq, TenantId } from '#schemas/ids.ts';
import { decodeLayout } from '#streams/postgres/batch-rows.ts';
import { type Client, connect, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { type RawRows, readRawPage } from '#streams/postgres/reader.ts';
import { readCopyRow } from '#streams/postgres/rows.ts';
import { BATCH_COLUMNS, type StoredBatchRow, statementOfRow } from '#streams/postgres/stored-batch.ts';
import { type RowCheck, rowCheck } from '#streams/postgres/verify/row-check.ts';
import {
  batchNoOf,
  HASH,
  payloadOf,
  recordedAtOf,
  seqOf,
  typeOf,
} from '#streams/postgres/verify/row-layout.ts';
import type { ArrivalVisitor, LaneChunk, ProvedFact } from './arrivals.ts';
import type { StoredRange, StoredSource, StoredTask } from './feed.ts';
import { chainFault, type ReplayFault, Unsound } from './lane-messages.ts';

export interface StoredReader {
  readonly chunk: (task: StoredTask) => Promise<LaneChunk>;
  readonly end: () => Promise<void>;
}

export const storedReader = ({ url, ledgerId, keys: jwks }: StoredSource): StoredReader => {
  const pool = connect({ url, max: 1, role: RUNTIME_ROLE, name: 'prov-ledger replay' });
  const keys = new Map(jwks.map(keyFromJwk).map((key) => [key.kid, key]));
  let client: Promise<Client> | undefined;
  const connected = async (): Promise<Client> => {
    const fresh = await pool.connect();
    await fresh.query('SET default_transaction_read_only = on');
    return fresh;
  };
  // One range after the other on the one connection.
  let last: Promise<unknown> = Promise.resolve();
  const chunk = async ({ ranges }: StoredTask): Promise<LaneChunk> => {
    client ??= connected();
    const pages: RangePage[] = [];
    for (const range of ranges)
      pages.push({ range, chunks: await readRawPage(await client, { head: range, ...range }) });
    const fault = await signatureFault(await client, sharesOf(pages), { ledgerId, keys });
    return (visit) => {
      for (const page of pages) visitPage(page, visit, fault);
    };
  };
  return {
    chunk: (task) => {
      const next = last.then(() => chunk(task));
      last = next.catch(() => undefined);
      return next;
    },
    end: async () => {
      await last;
      (await client?.catch(() => undefined))?.release();
      await pool.end();
    },
  };
};

interface RangePage {
  readonly range: StoredRange;
  readonly chunks: readonly RawRows[];
}

const visitPage = (
  { range: { tenant }, chunks }: RangePage,
  visit: ArrivalVisitor,
  unsigned: UnsignedShare | undefined,
): void => {
  let check: RowCheck | undefined;
  for (const { bytes, rows } of chunks) {
    check?.take({ bytes, rows });
    let at = 0;
    const fact = provedRow(tenant, bytes, (prevHash) => readCopyRow(bytes, at, tenant, prevHash).fact);
    for (at of rows) {
      const seq = seqOf(bytes, at);
      const code = check ? check.next() : unreadable(bytes, at);
      if (code) throw new Unsound(chainFault(code, { tenant, seq }, { before: (seq - 1) as Seq, line: seq }));
      if (check) {
        fact.type = typeOf(bytes, at);
        fact.seq = seq;
        fact.recordedAt = recordedAtOf(bytes, at);
        fact.hash.at = at + HASH;
        visit.proved(fact);
      } else {
        // What is before the first one another thread may be reading: the visitor joins the two.
        const { fact: first } = readCopyRow(bytes, at, tenant, GENESIS_HASH);
        visit.fact(first, seq);
        check = rowCheck(tenant, first);
        check.take({ bytes, rows: rows.slice(1) });
      }
      // Only now: a fact that breaks its chain is named before the batch that it breaks too.
      if (unsigned?.lastSeq === seq && unsigned.fault.tenant === tenant) throw new Unsound(unsigned.fault);
    }
  }
};

const provedRow = (tenant: TenantId, bytes: Buffer, read: ProvedFact['read']) => ({
  tenant,
  type: '',
  seq: 0 as Seq,
  recordedAt: 0 as Instant,
  hash: { bytes, at: 0 },
  read,
});

/** A payload that decoding would mend, or that nobody can parse any more. */
const unreadable = (bytes: Buffer, at: number): ChainFault | undefined => {
  const payload = payloadOf(bytes, at);
  try {
    JSON.parse(payload.toString('utf8'));
    return isUtf8(payload) ? undefined : 'hash-mismatch';
  } catch {
    return 'hash-mismatch';
  }
};

interface UnsignedShare {
  readonly fault: ReplayFault;
  readonly lastSeq: Seq;
}

interface Trust {
  readonly ledgerId: string;
  readonly keys: ReadonlyMap<string, VerificationKey>;
}

/** The first share of a batch that does not hold. */
const signatureFault = async (
  client: Client,
  shares: readonly StoredShare[],
  trust: Trust,
): Promise<UnsignedShare | undefined> => {
  const numbers = [...new Set(shares.map(({ batchNo }) => batchNo))];
  const { rows } = await client.query<StoredBatchRow>({
    name: 'replayed_batches',
    text: `SELECT ${BATCH_COLUMNS} FROM ledger.batches b WHERE b.batch_no = ANY ($1::bigint[])`,
    values: [numbers],
  });
  const batches = new Map(rows.map((row) => [row.batch_no, row]));
  const checks = shares.map(async (share) => {
    const why = await shareFault(share, batches.get(share.batchNo), trust);
    return why === undefined ? undefined : unsignedShare(share, why);
  });
  const faults = await Promise.all(checks);
  // Each batch is signed once, and checked once for each tenant that it holds facts of.
  return faults.find((fault) => fault !== undefined);
};

/** A run of facts of one batch and one tenant. */
interface StoredShare {
  readonly batchNo: number;
  readonly tenant: TenantId;
  readonly firstSeq: Seq;
  count: number;
  /** The facts' hashes, 32 bytes each. */
  digests: Buffer;
}

const sharesOf = (pages: readonly RangePage[]): readonly StoredShare[] => {
  const shares: StoredShare[] = [];
  for (const { range, chunks } of pages) {
    const { tenant } = range;
    let open: StoredShare | undefined;
    for (const { bytes, rows } of chunks) {
      for (const at of rows) {
        const batchNo = batchNoOf(bytes, at);
        if (open?.batchNo !== batchNo) {
          open = { batchNo, tenant, firstSeq: seqOf(bytes, at), count: 0, digests: Buffer.alloc(16 * 32) };
          shares.push(open);
        }
        const to = open.count * 32;
        if (to === open.digests.length) open.digests = Buffer.concat([open.digests], to * 4);
        for (let byte = 0; byte < 32; byte += 1) open.digests[to + byte] = bytes[at + HASH + byte] as number;
        open.count += 1;
      }
    }
  }
  return shares;
};

const shareFault = async (
  { firstSeq, count, digests }: StoredShare,
  batch: StoredBatchRow | undefined,
  { ledgerId, keys }: Trust,
): Promise<string | undefined> => {
  if (!batch) return 'no commit batch covers it';
  const shares = decodeLayout(batch.layout);
  const root = rootOfDigests(digests.subarray(0, count * 32));
  if (!shares.some((share) => share.firstSeq === firstSeq && share.count === count && share.root === root))
    return 'the facts are not those under the root of their commit batch';
  const statement = statementOfRow(ledgerId, batch);
  const key = keys.get(batch.kid);
  if (!key) return `its commit batch is signed with ${batch.kid}, which is not among the trusted keys`;
  if (!statement || batch.root.toString('hex') !== statement.root)
    return 'the root of its commit batch is another one';
  const good = await verifySignatureAside(key, statementBytes(statement), batch.signature);
  return good ? undefined : 'the signature over its commit batch does not hold';
};

const unsignedShare = ({ tenant, firstSeq: seq, count }: StoredShare, why: string): UnsignedShare => ({
  fault: { code: 'unsigned', tenant, seq, message: `fact ${seq} of ${tenant}: ${why}` },
  lastSeq: (seq + count - 1) as Seq,
});
