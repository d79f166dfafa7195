// Two versions of a projector over the same history: which rows would be others, before anybody deploys the newer one. Both
// are folded from the first fact on, one tenant after the other; besides the rows of a keyed model 64 bytes a row are
// held. Columns that only one of the two has are named, and left out of the comparison.
import { type AnyProjector, keyText } from '#projectors/batch.ts';
import { jsonbText, rowHash } from '#projectors/digest.ts';
import type { Row, RowKey } from '#projectors/projector.ts';
import type { Fact, Recorded } from '#schemas/event.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';
import { RebuildError } from './errors.ts';
import { type HashSet, hashDifference, hashSet } from './hash-set.ts';
import { replayTenant } from './replay.ts';

export interface DiffOptions {
  readonly store: Pick<StreamStore, 'read'>;
  readonly older: AnyProjector;
  readonly newer: AnyProjector;
  /** Up to where, of the tenants that are compared. */
  readonly position: readonly { readonly tenant: TenantId; readonly seq: Seq }[];
  readonly skips: (projection: string, tenant: TenantId) => Promise<ReadonlySet<Seq>>;
  readonly decode: (recorded: Recorded) => Fact;
  /** Rows that are shown; 20 unless told. */
  readonly show?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onFacts?: ((facts: number) => void) | undefined;
}

export interface RowChange {
  readonly tenant: TenantId;
  readonly key: RowKey;
  /** Absent: only the newer one has the row. */
  readonly older?: Row;
  /** Absent: only the older one has it. */
  readonly newer?: Row;
}

export interface Refused {
  readonly tenant: TenantId;
  readonly side: 'older' | 'newer';
  readonly seq: Seq;
  readonly message: string;
}

export interface Diff {
  readonly same: number;
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  readonly columnsAdded: readonly string[];
  readonly columnsRemoved: readonly string[];
  readonly first: readonly RowChange[];
  /** Facts that one of the two cannot take; its rows of that tenant are those before it. */
  readonly refused: readonly Refused[];
}

const SHOW = 20;

/** Throws `RebuildError`: `not-alike`, `interrupted`; `StreamError`. */
export const diffProjectors = async (options: DiffOptions): Promise<Diff> => {
  const { older, newer, position, show = SHOW } = options;
  const columns = commonColumns(older, newer);
  const diff = { same: 0, added: 0, removed: 0, changed: 0 };
  const first: RowChange[] = [];
  const refused: Refused[] = [];
  for (const place of position) {
    const comparing: Comparing = { ...options, ...place, columns };
    const [left, right] = [await sideOf(comparing, 'older'), await sideOf(comparing, 'newer')];
    refused.push(...left.refused, ...right.refused);
    const counts = countsOf(left, right);
    for (const name of ['same', 'added', 'removed', 'changed'] as const) diff[name] += counts[name];
    if (first.length < show && counts.added + counts.removed + counts.changed > 0)
      first.push(...(await changesOf(comparing, left, right)).slice(0, show - first.length));
    if (options.signal?.aborted) throw new RebuildError('interrupted', 'the comparison was ended');
  }
  const [had, has] = [Object.keys(older.columns), Object.keys(newer.columns)];
  return {
    ...diff,
    columnsAdded: has.filter((name) => !had.includes(name)),
    columnsRemoved: had.filter((name) => !has.includes(name)),
    first,
    refused,
  };
};

const commonColumns = (older: AnyProjector, newer: AnyProjector): readonly string[] => {
  if (older.name !== newer.name || older.key.join() !== newer.key.join())
    throw new RebuildError(
      'not-alike',
      `${older.name} by ${older.key.join(', ')} and ${newer.name} by ${newer.key.join(', ')} are not two versions of one read model: rows are compared by their keys`,
    );
  return Object.keys(older.columns).filter((name) => name in newer.columns);
};

interface Comparing extends DiffOptions {
  readonly tenant: TenantId;
  readonly seq: Seq;
  readonly columns: readonly string[];
}

interface Side {
  readonly keys: HashSet;
  readonly rows: HashSet;
  readonly refused: readonly Refused[];
}

type Visit = (key: RowKey, row: Row) => void;

const fold = async (
  comparing: Comparing,
  side: 'older' | 'newer',
  visit: Visit,
): Promise<readonly Refused[]> => {
  const { tenant, seq, store, decode, signal, onFacts } = comparing;
  const projector = comparing[side];
  const keyOf = (row: Row): RowKey => projector.key.map((name: string) => row[name] as string);
  const { rows, refused } = await replayTenant({
    store,
    projector,
    tenant,
    to: seq,
    skips: await comparing.skips(projector.name, tenant),
    decode,
    signal,
    onFacts,
    onRow: (row) => visit(keyOf(row), row),
  });
  for (const row of rows.values()) visit(keyOf(row), row);
  return refused ? [{ tenant, side, ...refused }] : [];
};

/** Values of the common columns, in one order for both. */
const hashOf = (columns: readonly string[], row: Row): string =>
  rowHash(`[${columns.map((name) => jsonbText(row[name] ?? null)).join(', ')}]`);

const sideOf = async (comparing: Comparing, side: 'older' | 'newer'): Promise<Side> => {
  const [keys, rows] = [hashSet(), hashSet()];
  const refused = await fold(comparing, side, (key, row) => {
    keys.add(rowHash(keyText(key)));
    rows.add(hashOf(comparing.columns, row));
  });
  return { keys, rows, refused };
};

const countsOf = (left: Side, right: Side): Pick<Diff, 'same' | 'added' | 'removed' | 'changed'> => {
  const keys = hashDifference(left.keys, right.keys, 0);
  const rows = hashDifference(left.rows, right.rows, 0);
  const [removed, added] = [keys.left, keys.right];
  return {
    added,
    removed,
    changed: rows.left - removed,
    same: left.rows.count() - rows.left,
  };
};

const changesOf = async (comparing: Comparing, left: Side, right: Side): Promise<readonly RowChange[]> => {
  // Twice as many as are shown: a row that changed stands on both sides.
  const most = 2 * (comparing.show ?? SHOW);
  const { onlyLeft, onlyRight } = hashDifference(left.rows, right.rows, most);
  const found = new Map<string, RowChange>();
  const collect = (side: 'older' | 'newer', wanted: ReadonlySet<string>): Promise<unknown> =>
    fold(comparing, side, (key, row) => {
      const text = keyText(key);
      const hash = Buffer.from(hashOf(comparing.columns, row), 'latin1').toString('hex');
      if (!wanted.has(hash) && !found.has(text)) return;
      found.set(text, { tenant: comparing.tenant, key, ...found.get(text), [side]: row });
    });
  await collect('older', new Set(onlyLeft));
  await collect('newer', new Set(onlyRight));
  // A row that the second pass over the newer ones brought in may have another value on the first side.
  await collect('older', new Set());
  return [...found.values()].sort((a, b) => Buffer.compare(keyBytes(a.key), keyBytes(b.key)));
};

const keyBytes = (key: RowKey): Buffer => Buffer.from(key.join('\0'));
