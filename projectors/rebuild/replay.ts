// The independent replay: what a read model must be, by the plainest way there is. Facts come through the StreamStore
// port, one at a time, each with its hash recomputed; no batch, no database, no COPY. A rebuild is switched to only when its table
// says the same.
import { type AnyProjector, keyText } from '#projectors/batch.ts';
import type { Row, RowKey } from '#projectors/projector.ts';
import { CHAIN_START, type ChainPosition, linkFault } from '#proofs/chain.ts';
import type { Fact, Recorded } from '#schemas/event.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import type { StreamStore } from '#streams/stream.ts';
import { type HashSet, hashedRows } from './hash-set.ts';

export interface ReplayOptions {
  readonly store: Pick<StreamStore, 'read'>;
  readonly projector: AnyProjector;
  readonly tenant: TenantId;
  /** The last fact to be folded. */
  readonly to: Seq;
  readonly skips: ReadonlySet<Seq>;
  readonly decode: (recorded: Recorded) => Fact;
  readonly signal?: AbortSignal | undefined;
  readonly onFacts?: ((facts: number) => void) | undefined;
  /** Called for each row of an insert-only model, in the order of their facts; other rows are in the result. */
  readonly onRow: (row: Row, key: RowKey) => void;
}

export interface Replayed {
  /** The last fact that was folded. */
  readonly position: ChainPosition;
  /** Rows by `keyText`; none of an insert-only model. */
  readonly rows: ReadonlyMap<string, Row>;
  /** The fact that the fold refused; nothing after it was folded. */
  readonly refused?: { readonly seq: Seq; readonly message: string };
}

const PAGE = 1_000;

/** Throws `StreamError`: `corrupt` where the chain does not hold. */
export const replayTenant = async (options: ReplayOptions): Promise<Replayed> => {
  const { store, tenant, to, signal } = options;
  const { rows, take } = plainFold(options);
  let position: ChainPosition = CHAIN_START;
  if (to === 0) return { position, rows };
  for await (const page of store.read(tenant, { to, pageSize: PAGE })) {
    for (const fact of page) {
      const fault = linkFault(fact, tenant, position);
      if (fault)
        throw new StreamError('corrupt', `${tenant}/${fact.seq}: ${fault}; verify the chain and restore it`);
      const refused = take(fact);
      if (refused !== undefined) return { position, rows, refused: { seq: fact.seq, message: refused } };
      position = fact;
    }
    options.onFacts?.(page.length);
    if (signal?.aborted) break;
  }
  return { position: { seq: position.seq, hash: position.hash, recordedAt: position.recordedAt }, rows };
};

/** The fold of an independent replay: one fact after the other, the rows in a map. */
export interface PlainFold {
  /** By `keyText`; none of an insert-only model. */
  readonly rows: ReadonlyMap<string, Row>;
  /** Why the fact cannot be folded; nothing of it is in the rows then. */
  readonly take: (fact: Recorded) => string | undefined;
}

type Folding = Pick<ReplayOptions, 'projector' | 'skips' | 'decode' | 'onRow'>;

export const plainFold = (folding: Folding): PlainFold => {
  const { projector, skips } = folding;
  const rows = new Map<string, Row>();
  return {
    rows,
    take: (fact) =>
      projector.handles.includes(fact.type) && !skips.has(fact.seq)
        ? foldOne(folding, rows, fact)
        : undefined,
  };
};

const foldOne = (
  { projector, decode, onRow }: Folding,
  rows: Map<string, Row>,
  recorded: Recorded,
): string | undefined => {
  try {
    const fact = decode(recorded);
    const keys = distinct(projector.keys(fact));
    const before = (key: RowKey): Row | undefined =>
      projector.insertOnly ? undefined : rows.get(keyText(key));
    // All of them before the first is put in place: what the fold throws at the last key undoes nothing.
    const next = keys.map((key) => projector.fold(before(key), fact, key));
    for (const [index, key] of keys.entries()) {
      const row = next[index];
      if (projector.insertOnly) {
        if (row !== undefined) onRow(row, key);
      } else if (row === undefined) rows.delete(keyText(key));
      else rows.set(keyText(key), row);
    }
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
};

const distinct = (keys: readonly RowKey[]): readonly RowKey[] =>
  keys.length === 1 ? keys : [...new Map(keys.map((key) => [keyText(key), key])).values()];

export interface ReplayHashes extends Omit<Replayed, 'rows'> {
  readonly hashes: HashSet;
}

/** The hashes of one tenant's rows: 32 bytes for each are held, and the rows themselves of a keyed model. */
export const replayHashes = async (options: Omit<ReplayOptions, 'onRow'>): Promise<ReplayHashes> => {
  const hashed = hashedRows(options.projector, options.tenant);
  const { rows, ...replayed } = await replayTenant({ ...options, onRow: hashed.add });
  for (const row of rows.values()) hashed.add(row);
  return { ...replayed, hashes: hashed.hashes() };
};
