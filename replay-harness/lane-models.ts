// The read models of one lane: those that only insert need nothing from before and are folded while a chunk is read; the
// others go on from their rows as they were.
import { type AnyProjector, type Changes, foldBatch, keyText } from '#projectors/batch.ts';
import { rowForm } from '#projectors/digest.ts';
import type { Row } from '#projectors/projector.ts';
import type { Fact } from '#schemas/event.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import type { SkippedFacts } from './feed.ts';
import {
  type ChunkFolded,
  type ChunkRead,
  type FoldOrder,
  haltKey,
  type Inserted,
  type ModelNews,
  type Poison,
  type RowNews,
  Unsound,
} from './lane-messages.ts';
import { guarded, ImpureAccess } from './purity.ts';

/** One tenant's facts of a chunk, as far as some read model looks at them. */
export interface TenantFacts {
  readonly tenant: TenantId;
  readonly facts: readonly Fact[];
  /** Of those facts. */
  readonly types: ReadonlySet<string>;
}

/** Most read models look at types that a chunk does not hold. */
const looksAt = ({ handles }: AnyProjector, { types }: TenantFacts): boolean =>
  (handles as readonly string[]).some((type) => types.has(type));

interface Decoded {
  readonly facts: readonly (Fact | Error)[];
  /** None of them is an error. */
  readonly whole: boolean;
}

const decoded = new WeakMap<TenantFacts, Decoded>();

/** Once for all read models. */
const decodedFacts = (segment: TenantFacts): Decoded => {
  const known = decoded.get(segment);
  if (known) return known;
  const facts = guarded(() => segment.facts.map(decodedFact));
  const now = { facts, whole: !facts.some((fact) => fact instanceof Error) };
  decoded.set(segment, now);
  return now;
};

const decodedFact = (fact: Fact): Fact | Error => {
  try {
    return decodeFact(fact) as Fact;
  } catch (error) {
    return error as Error;
  }
};

/** The facts a read model takes, up to the first that cannot be read. */
const factsFor = (projector: AnyProjector, segment: TenantFacts, skips: ReadonlySet<Seq> | undefined) => {
  const handles = new Set<string>(projector.handles);
  const { facts, whole } = decodedFacts(segment);
  if (whole && !skips && [...segment.types].every((type) => handles.has(type)))
    return { taken: facts as readonly Fact[] };
  const taken: Fact[] = [];
  for (let index = 0; index < facts.length; index += 1) {
    const fact = segment.facts[index] as Fact;
    if (!handles.has(fact.type) || skips?.has(fact.seq)) continue;
    const now = facts[index] as Fact | Error;
    if (now instanceof Error) return { taken, unreadable: { fact, error: now } };
    taken.push(now);
  }
  return { taken };
};

const poisonOf = (model: number, { fact, error }: { readonly fact: Fact; readonly error: Error }): Poison => {
  const { tenant, seq } = fact;
  // Not a fact that cannot be taken: code that cannot be trusted with any.
  if (error instanceof ImpureAccess)
    throw new Unsound({ code: 'impure', tenant, seq, message: `fact ${seq} of ${tenant}: ${error.message}` });
  return { model, tenant, seq, message: error.message };
};

/** By read model and tenant, as `haltKey` names the pair: facts that are passed over. */
export type PassedOver = ReadonlyMap<string, ReadonlySet<Seq>>;

export const passedOver = (
  projectors: readonly AnyProjector[],
  skipped: readonly SkippedFacts[],
): PassedOver =>
  new Map(
    skipped.map(({ projection, tenant, seqs }) => [
      haltKey(
        projectors.findIndex(({ name }) => name === projection),
        tenant,
      ),
      seqs,
    ]),
  );

const NO_ROWS: ReadonlyMap<string, Row> = new Map();

interface InsertOptions {
  readonly skips: PassedOver;
  readonly showRows: boolean;
}

/** What a chunk inserts, as soon as it is read. */
export const insertOnlyModels = (projectors: readonly AnyProjector[], { skips, showRows }: InsertOptions) => {
  const models = projectors
    .map((projector, model) => ({ projector, model, form: rowForm(projector) }))
    .filter(({ projector }) => projector.insertOnly);
  return (segments: readonly TenantFacts[]): Pick<ChunkRead, 'inserted' | 'poisons'> => {
    const inserted: Inserted[] = [];
    const poisons: Poison[] = [];
    for (const { projector, model, form } of models) {
      for (const segment of segments) {
        if (!looksAt(projector, segment)) continue;
        const { tenant } = segment;
        const { taken, unreadable } = factsFor(projector, segment, skips.get(haltKey(model, tenant)));
        const { changes, poison } = guarded(() => foldBatch(projector, taken, NO_ROWS));
        const stop = poison ?? unreadable;
        if (stop) poisons.push(poisonOf(model, stop));
        const hashes = form.hashes(tenant, changes.inserts);
        const lines = showRows ? changes.inserts.map((row) => form.line(tenant, row)) : undefined;
        inserted.push({ model, tenant, hashes, lines });
      }
    }
    return { inserted, poisons };
  };
};

interface KeyedOptions {
  readonly skips: PassedOver;
  readonly batchSize: number;
}

/** Keeps the rows of the others from chunk to chunk, and learns what other lanes have made of them. */
export const keyedModels = (projectors: readonly AnyProjector[], { skips, batchSize }: KeyedOptions) => {
  const models = projectors
    .map((projector, model) => ({ projector, model, rows: new Map<TenantId, Map<string, Row>>() }))
    .filter(({ projector }) => !projector.insertOnly);
  const rowsOf = (rows: Map<TenantId, Map<string, Row>>, tenant: TenantId): Map<string, Row> => {
    const known = rows.get(tenant) ?? new Map<string, Row>();
    rows.set(tenant, known);
    return known;
  };
  return (
    segments: readonly TenantFacts[],
    { news, halted }: FoldOrder,
  ): Pick<ChunkFolded, 'changes' | 'poisons'> => {
    for (const { model, tenant, rows } of news) {
      const mine = models.find((each) => each.model === model);
      if (mine) apply(rowsOf(mine.rows, tenant), rows);
    }
    const changes: ModelNews[] = [];
    const poisons: Poison[] = [];
    for (const { projector, model, rows } of models) {
      for (const segment of segments) {
        const { tenant } = segment;
        if (!looksAt(projector, segment) || halted.includes(haltKey(model, tenant))) continue;
        const changed = new Map<string, Row | undefined>();
        const stop = foldAll(projector, segment, {
          rows: rowsOf(rows, tenant),
          changed,
          batchSize,
          skips: skips.get(haltKey(model, tenant)),
        });
        if (stop) poisons.push(poisonOf(model, stop));
        if (changed.size > 0) changes.push({ model, tenant, rows: changed });
      }
    }
    return { changes, poisons };
  };
};

interface Folding {
  readonly rows: Map<string, Row>;
  readonly changed: Map<string, Row | undefined>;
  readonly batchSize: number;
  readonly skips: ReadonlySet<Seq> | undefined;
}

/** In batches; each sees the rows that the one before left. */
const foldAll = (
  projector: AnyProjector,
  segment: TenantFacts,
  { rows, changed, batchSize, skips }: Folding,
) => {
  const { taken, unreadable } = factsFor(projector, segment, skips);
  for (let from = 0; from < taken.length; from += batchSize) {
    const batch = batchSize >= taken.length ? taken : taken.slice(from, from + batchSize);
    const { changes, poison } = guarded(() => foldBatch(projector, batch, rows));
    const news = rowNews(changes);
    apply(rows, news);
    for (const [key, row] of news) changed.set(key, row);
    if (poison) return poison;
  }
  return unreadable;
};

const rowNews = ({ upserts, deletes }: Changes): RowNews => {
  if (deletes.length === 0) return upserts;
  const news = new Map<string, Row | undefined>(upserts);
  for (const key of deletes) news.set(keyText(key), undefined);
  return news;
};

/** Puts changed rows in place. */
export const apply = (rows: Map<string, Row>, news: RowNews): void => {
  for (const [key, row] of news) {
    if (row === undefined) rows.delete(key);
    else rows.set(key, row);
  }
};
