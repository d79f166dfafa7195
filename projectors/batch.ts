// The fold over one batch of one tenant's facts: no input, no output, no database. The live runner, the importer's
// worker and the replay all come through here, so that they cannot differ.
import type { DomainEvent, Fact } from '#schemas/event.ts';
import type { Projector, Row, RowKey } from './projector.ts';

/**
 * A projector of whatever domain, as the machinery sees it. It hands a projector nothing but the facts it handles
 * and the rows it made.
 */
// oxlint-disable-next-line typescript/no-explicit-any -- no narrower type holds the folds of all domains
export type AnyProjector = Projector<any, any>;

/** What a batch does to a read model. No key stands in two of the three. */
export interface Changes<R extends Row = Row> {
  /** New rows of an insert-only model, in the order of their facts. */
  readonly inserts: readonly R[];
  /** Rows as they are after the batch, by `keyText`; each key once, however many facts touched it. */
  readonly upserts: ReadonlyMap<string, R>;
  /** Keys of rows that were there before the batch and are gone after it. */
  readonly deletes: readonly RowKey[];
}

export interface Folded<R extends Row = Row> {
  readonly changes: Changes<R>;
  /** The fact that the fold threw at. `changes` are then those of the facts before it, and nothing of its own. */
  readonly poison?: { readonly fact: Fact; readonly error: Error };
}

/** A key as one text; different keys give different texts. */
export const keyText = (key: RowKey): string => {
  if (key.length <= 1) return key[0] ?? '';
  let text = '';
  for (const part of key) text += `${part.length}:${part}`;
  return text;
};

/** The keys of the rows that a batch touches, each once; empty for an insert-only model, which reads none. */
export const touchedKeys = (projector: AnyProjector, facts: readonly Fact[]): ReadonlyMap<string, RowKey> => {
  const keys = new Map<string, RowKey>();
  if (projector.insertOnly) return keys;
  for (const fact of facts) {
    // A `keys` that throws is met again, and reported, by the fold.
    try {
      for (const key of projector.keys(fact)) keys.set(keyText(key), key);
    } catch {
      break;
    }
  }
  return keys;
};

/**
 * Folds facts of one tenant, all of types the projector handles, in seq order. `rows` are the touched rows as they
 * were before the first fact, by `keyText`; it is only read. SQL NULL stands in them as `null`.
 */
export const foldBatch = <E extends DomainEvent, R extends Row>(
  projector: Projector<E, R>,
  facts: readonly Fact<E>[],
  rows: ReadonlyMap<string, R>,
): Folded<R> => (projector.insertOnly ? foldInserts(projector, facts) : foldRows(projector, facts, rows));

const NO_UPSERTS: ReadonlyMap<string, never> = new Map<string, never>();

const foldInserts = <E extends DomainEvent, R extends Row>(
  projector: Projector<E, R>,
  facts: readonly Fact<E>[],
): Folded<R> => {
  const inserts: R[] = [];
  const changes = { inserts, upserts: NO_UPSERTS, deletes: [] };
  for (const fact of facts) {
    const done = inserts.length;
    try {
      for (const key of projector.keys(fact)) {
        const row = projector.fold(undefined, fact, key);
        if (row !== undefined) inserts.push(row);
      }
    } catch (error) {
      inserts.length = done;
      return { changes, poison: poisonOf(fact, error) };
    }
  }
  return { changes };
};

/** One row while a batch passes over it. */
interface Slot<R> {
  readonly key: RowKey;
  readonly before: R | undefined;
  now: R | undefined;
}

const foldRows = <E extends DomainEvent, R extends Row>(
  projector: Projector<E, R>,
  facts: readonly Fact<E>[],
  rows: ReadonlyMap<string, R>,
): Folded<R> => {
  const slots = new Map<string, Slot<R>>();
  for (const fact of facts) {
    try {
      foldFact(projector, fact, slots, rows);
    } catch (error) {
      return { changes: changesOf(slots), poison: poisonOf(fact, error) };
    }
  }
  return { changes: changesOf(slots) };
};

// A fact changes all its rows or none: the new rows are put in place only when the last fold has not thrown.
const foldFact = <E extends DomainEvent, R extends Row>(
  projector: Projector<E, R>,
  fact: Fact<E>,
  slots: Map<string, Slot<R>>,
  rows: ReadonlyMap<string, R>,
): void => {
  const keys = projector.keys(fact);
  if (keys.length === 1) {
    const slot = slotOf(keys[0] as RowKey, slots, rows);
    slot.now = projector.fold(slot.now, fact, slot.key);
    return;
  }
  const touched = [...new Set(keys.map((key) => slotOf(key, slots, rows)))];
  const next = touched.map((slot) => projector.fold(slot.now, fact, slot.key));
  touched.forEach((slot, index) => {
    slot.now = next[index];
  });
};

const slotOf = <R extends Row>(
  key: RowKey,
  slots: Map<string, Slot<R>>,
  rows: ReadonlyMap<string, R>,
): Slot<R> => {
  const text = keyText(key);
  const known = slots.get(text);
  if (known) return known;
  const before = rows.get(text);
  const slot: Slot<R> = { key, before, now: before };
  slots.set(text, slot);
  return slot;
};

const changesOf = <R extends Row>(slots: ReadonlyMap<string, Slot<R>>): Changes<R> => {
  const upserts = new Map<string, R>();
  const deletes: RowKey[] = [];
  for (const [text, { key, before, now }] of slots) {
    if (now !== undefined && now !== before) upserts.set(text, now);
    else if (now === undefined && before !== undefined) deletes.push(key);
  }
  return { inserts: [], upserts, deletes };
};

const poisonOf = (fact: Fact, error: unknown): { readonly fact: Fact; readonly error: Error } => ({
  fact,
  error: error instanceof Error ? error : new Error(String(error)),
});
