// A fixture into an empty ledger: every fact at its place with its hash, signed in commit batches as an import does it.
// What comes again is sent as a request, and the ledger has to answer as the fixture says.
import { CHAIN_START, type ChainPosition } from '#proofs/chain.ts';
import { signBatch, statementOf } from '#proofs/checkpoint.ts';
import { rootOfDigests } from '#proofs/digest-tree.ts';
import type { Signer } from '#proofs/keys/signer.ts';
import type { Recorded } from '#schemas/event.ts';
import type { Instant, Seq, Sha256, TenantId } from '#schemas/ids.ts';
import { batchNumbers, FACTS, sealCall } from '#streams/postgres/batch-rows.ts';
import { binaryWriter } from '#streams/postgres/binary.ts';
import { type Client, type Pool, transaction } from '#streams/postgres/connect.ts';
import { copyIn } from '#streams/postgres/copy.ts';
import { writeCopyRow } from '#streams/postgres/rows.ts';
import type { AppendResult, StreamStore } from '#streams/stream.ts';
import type { LinePiece } from './feed.ts';
import type { AgainKind, Expectation } from './fixtures/format.ts';
import { readFixtureLines } from './fixtures/read-lines.ts';

export interface LoadOptions {
  readonly pool: Pool;
  readonly store: Pick<StreamStore, 'ledgerId' | 'append'>;
  readonly signer: Signer;
  readonly pieces: AsyncIterable<LinePiece>;
  /** Arrivals to take; all unless told. */
  readonly events?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onFacts?: (facts: number) => void;
}

/** The ledger does not answer a request as the fixture says, or the fixture is not one that a ledger could hold. */
export class LoadFault extends Error {
  override readonly name = 'LoadFault';
}

interface Chain {
  readonly tenantNo: number;
  place: ChainPosition;
}

interface Loading extends LoadOptions {
  readonly chains: Map<TenantId, Chain>;
  readonly numbers: ReturnType<typeof batchNumbers>;
}

interface Arrivals {
  readonly facts: Recorded[];
  readonly again: { readonly kind: AgainKind; readonly fact: Recorded; readonly line: number }[];
  expect?: Expectation;
}

/**
 * Loads until the end or the signal, and answers with what the loaded ledger must come to, when the fixture says it: what
 * came again is no part of it, and was asked of the ledger here. Throws `LoadFault`, `MalformedLine`, `StreamError`.
 */
export const loadFixture = async (options: LoadOptions): Promise<Expectation | undefined> => {
  const loading: Loading = { ...options, chains: new Map(), numbers: batchNumbers() };
  let left = options.events ?? Number.POSITIVE_INFINITY;
  for await (const { bytes, firstLine } of options.pieces) {
    if (options.signal?.aborted || left <= 0) return undefined;
    const { facts, again, expect } = arrivalsOf(bytes, firstLine, left);
    left -= facts.length + again.length;
    if (facts.length > 0) await transaction(options.pool, (client) => store(loading, client, facts));
    for (const each of again) await sendAgain(loading, each);
    options.onFacts?.(facts.length);
    if (expect) return { ...expect, arrivals: expect.facts, repeats: 0, conflicts: 0 };
  }
  return undefined;
};

const arrivalsOf = (bytes: ArrayBuffer, firstLine: number, most: number): Arrivals => {
  const arrivals: Arrivals = { facts: [], again: [] };
  const full = (): boolean => arrivals.facts.length + arrivals.again.length >= most;
  readFixtureLines(Buffer.from(bytes), firstLine, {
    header: ({ before }) => {
      if (before) throw new LoadFault('this fixture begins within a chain: only a whole one can be loaded');
    },
    fact: (fact) => {
      // What stands before it is known when it is stored.
      if (!full()) arrivals.facts.push(fact as Recorded);
    },
    again: (kind, fact, line) => {
      if (!full()) arrivals.again.push({ kind, fact, line });
    },
    expect: (expect) => {
      if (!full()) arrivals.expect = expect;
    },
  });
  return arrivals;
};

/** One commit batch over the facts of a piece, whatever tenants they are of. */
const store = async (loading: Loading, client: Client, facts: readonly Recorded[]): Promise<void> => {
  const byTenant = Map.groupBy(facts, ({ tenant }) => tenant);
  for (const tenant of byTenant.keys())
    if (!loading.chains.has(tenant)) await openTenant(loading, client, tenant);
  const batchNo = await loading.numbers.next(client);
  const writer = binaryWriter(facts.length * 1_024);
  const shares = [];
  const moves = [];
  for (const [tenant, mine] of byTenant) {
    const chain = loading.chains.get(tenant) as Chain;
    const { tenantNo, place: before } = chain;
    for (const fact of mine) writeCopyRow(writer, { tenantNo, fact }, batchNo);
    const { seq, hash, recordedAt } = mine.at(-1) as Recorded;
    chain.place = { seq, hash, recordedAt };
    const digests = Buffer.from(mine.map((fact) => fact.hash).join(''), 'hex');
    const root = rootOfDigests(digests) as Sha256;
    shares.push({ tenantNo, firstSeq: (before.seq + 1) as Seq, count: mine.length, root });
    moves.push({ tenantNo, before, after: chain.place });
  }
  const signedAt = Math.max(...facts.map(({ recordedAt }) => recordedAt)) as Instant;
  const statement = statementOf({ ledgerId: loading.store.ledgerId, signedAt }, shares);
  const signed = await signBatch(statement, loading.signer);
  await copyIn(client, { target: FACTS, rows: writer.take() });
  await client.query(sealCall({ batchNo, statement, signed, shares }, moves));
};

const openTenant = async ({ chains }: Loading, client: Client, tenant: TenantId): Promise<void> => {
  const { rows } = await client.query<{ no: number | null }>('SELECT ledger.open_tenant($1) AS no', [tenant]);
  const tenantNo = rows[0]?.no;
  if (typeof tenantNo !== 'number')
    throw new LoadFault(`there is a tenant ${tenant} already: load into an empty ledger`);
  chains.set(tenant, { tenantNo, place: CHAIN_START });
};

const sendAgain = async (
  { store: ledger }: Loading,
  { kind, fact, line }: Arrivals['again'][number],
): Promise<void> => {
  const { tenant, seq } = fact;
  const result = await ledger.append({ tenant, drafts: [fact], expect: { kind: 'any' } });
  const answered = answerOf(result);
  const wanted = kind === 'repeat' ? `repeated ${seq}` : `id-taken ${seq}`;
  if (answered !== wanted)
    throw new LoadFault(`line ${line}: the ledger answered "${answered}", the fixture says "${wanted}"`);
};

const answerOf = (result: AppendResult): string => {
  switch (result.kind) {
    case 'appended':
    case 'repeated':
      return `${result.kind} ${result.facts[0]?.fact.seq ?? 0}`;
    case 'id-taken':
      return `id-taken ${result.first.seq}`;
    case 'conflict':
    case 'no-such-tenant':
    case 'tenant-exists':
      return result.kind;
    default:
      return result satisfies never;
  }
};
