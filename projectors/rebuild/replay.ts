// The independent replay: what a read model must be, by the plainest way there is. Facts come through the StreamStore
// port, one at a time, each with its hash recomputed; no batch, no database, no COPY. A rebuild is switched to only when its table
// says the same.
import { type AnyProjector, keyText } from '#projectors/batch.ts';
import { rowForm } from '#projectors/digest.ts';
import type { Row, RowKey } from '#projectors/projector.ts';
import { CHAIN_START, type ChainPosition, linkFault } from '#proofs/chain.ts';
import type { Fact, Recorded } from '#schemas/event.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import type { StreamStore } from '#streams/stream.ts';
import { type HashSet, hashSet } from './hash-set.ts';

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
    const keys = new Map<string, RowKey>(projector.keys(fact).map((key: RowKey) => [keyText(key), key]));
    const next = [...keys].map(
      ([text, key]) =>
        [text, key, projector.fold(projector.insertOnly ? undefined : rows.get(text), fact, key)] as const,
    );
    for (const [text, key, row] of next) {
      if (projector.insertOnly) {
        if (row !== undefined) onRow(row, key);
      } else if (row === undefined) rows.delete(text);
      else rows.set(text, row);
    }
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
};

export interface ReplayHashes extends Omit<Replayed, 'rows'> {
  readonly hashes: HashSet;
}

/** The hashes of one tenant's rows: 32 bytes for each are held, and the rows themselves of a keyed model. */
export const replayHashes = async (options: Omit<ReplayOptions, 'onRow'>): Promise<ReplayHashes> => {
  const { projector, tenant } = options;
  const form = rowForm(projector);
  const hashes = hashSet();
  const onRow = (row: Row): void => hashes.add(form.hash(tenant, row));
  const { rows, ...replayed } = await replayTenant({ ...options, onRow });
  for (const row of rows.values()) onRow(row);
  return { ...replayed, hashes };
};
