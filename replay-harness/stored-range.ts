// Ranges of a stored chain for one thread: the facts by binary COPY, and for every commit batch in them the root over its
// facts and the signature over the root. Reads only; facts never change and have no holes below a head, so ranges read one
// after the other are one history, whatever is appended meanwhile.

import { GENESIS_HASH } from '#proofs/chain.ts';
import { statementBytes, statementOf } from '#proofs/checkpoint.ts';
import { keyFromJwk, type VerificationKey, verifySignatureAside } from '#proofs/keys/public-key.ts';
import { rootOfDigests } from '#proofs/merkle.ts';
import type { Recorded } from '#schemas/event.ts';
import type { Instant } from '#schemas/ids.ts';
import { decodeLayout } from '#streams/postgres/batch-rows.ts';
import { type Client, connect, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { copyOut } from '#streams/postgres/copy.ts';
import { READ_COLUMNS, readCopyRow, type StoredFact } from '#streams/postgres/rows.ts';
import type { StoredRange, StoredSource, StoredTask } from './feed.ts';
import { type LaneChunk } from './lane.ts';
import { type ReplayFault, Unsound } from './lane-messages.ts';

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
    const stored: StoredFact[] = [];
    for (const range of ranges) stored.push(...(await readRange(await client, range)));
    const fault = await signatureFault(await client, stored, { ledgerId, keys });
    return (visit) => {
      for (const { fact } of stored) {
        if (fault && fault.tenant === fact.tenant && fault.seq === fact.seq) throw new Unsound(fault);
        visit.fact(fact, fact.seq);
      }
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

const readRange = async (
  client: Client,
  { tenant, tenantNo, from, to }: StoredRange,
): Promise<readonly StoredFact[]> => {
  const query = `SELECT ${READ_COLUMNS} FROM ledger.facts f WHERE f.tenant_no = ${tenantNo} AND f.seq BETWEEN ${from} AND ${to} ORDER BY f.seq`;
  const facts: StoredFact[] = [];
  for await (const { bytes, rows } of copyOut(client, query))
    for (const at of rows) facts.push(readCopyRow(bytes, at, tenant, GENESIS_HASH));
  return facts;
};

interface BatchRow {
  readonly batch_no: number;
  readonly kid: string;
  readonly signed_ms: Instant;
  readonly root: Buffer;
  readonly signature: Buffer;
  readonly layout: Buffer;
}

interface Trust {
  readonly ledgerId: string;
  readonly keys: ReadonlyMap<string, VerificationKey>;
}

/** The first share of a batch that does not hold. */
const signatureFault = async (
  client: Client,
  stored: readonly StoredFact[],
  trust: Trust,
): Promise<ReplayFault | undefined> => {
  const numbers = [...new Set(stored.map(({ batchNo }) => batchNo))];
  const { rows } = await client.query<BatchRow>({
    name: 'replayed_batches',
    text: `SELECT batch_no, kid, (extract(epoch FROM signed_at) * 1000)::bigint AS signed_ms, root, signature, layout
      FROM ledger.batches WHERE batch_no = ANY ($1::bigint[])`,
    values: [numbers],
  });
  const batches = new Map(rows.map((row) => [row.batch_no, row]));
  const checks = sharesOf(stored).map(async (share) => {
    const why = await shareFault(share, batches.get(share.batchNo), trust);
    return why === undefined ? undefined : faultAt(share.facts[0] as Recorded, why);
  });
  const faults = await Promise.all(checks);
  // Each batch is signed once, and checked once for each tenant that it holds facts of.
  return faults.find((fault) => fault !== undefined);
};

interface StoredShare {
  readonly batchNo: number;
  readonly facts: Recorded[];
}

/** Runs of facts of one batch and one tenant. */
const sharesOf = (stored: readonly StoredFact[]): readonly StoredShare[] => {
  const shares: StoredShare[] = [];
  for (const { fact, batchNo } of stored) {
    const open = shares.at(-1);
    if (open?.batchNo === batchNo && open.facts[0]?.tenant === fact.tenant) open.facts.push(fact);
    else shares.push({ batchNo, facts: [fact] });
  }
  return shares;
};

const shareFault = async (
  { facts }: StoredShare,
  batch: BatchRow | undefined,
  { ledgerId, keys }: Trust,
): Promise<string | undefined> => {
  if (!batch) return 'no commit batch covers it';
  const first = facts[0] as Recorded;
  const digests = Buffer.from(facts.map(({ hash }) => hash).join(''), 'hex');
  const shares = decodeLayout(batch.layout);
  const root = rootOfDigests(digests);
  if (
    !shares.some(
      (share) => share.firstSeq === first.seq && share.count === facts.length && share.root === root,
    )
  )
    return 'the facts are not those under the root of their commit batch';
  const statement = statementOf({ ledgerId, signedAt: batch.signed_ms }, shares);
  const key = keys.get(batch.kid);
  if (!key) return `its commit batch is signed with ${batch.kid}, which is not among the trusted keys`;
  if (batch.root.toString('hex') !== statement.root) return 'the root of its commit batch is another one';
  const good = await verifySignatureAside(key, statementBytes(statement), batch.signature);
  return good ? undefined : 'the signature over its commit batch does not hold';
};

const faultAt = ({ tenant, seq }: Recorded, why: string): ReplayFault => ({
  code: 'unsigned',
  tenant,
  seq,
  message: `fact ${seq} of ${tenant}: ${why}`,
});
