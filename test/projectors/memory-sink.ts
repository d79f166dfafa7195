// Read models in memory, under the law of sinks (projectors/sink.ts): rows and checkpoint change together, the checkpoint
// by compare-and-swap over place and hash, and what cannot be taken leaves everything as it was. What is kept lies open,
// so that a test can look at it, and change it behind the ledger's back.
import { type AnyProjector, foldBatch, keyText, touchedKeys } from '#projectors/batch.ts';
import type { Row } from '#projectors/projector.ts';
import { beginning, type Checkpoint, type RowSink, type Step, type StepResult } from '#projectors/sink.ts';
import type { TenantId } from '#schemas/ids.ts';

/** Rows of one tenant by `keyText`. A row that is there is never changed, but put in another's place. */
export type KeptRows = Map<string, Row>;

export interface MemorySink {
  readonly sink: RowSink;
  readonly rows: (projector: AnyProjector, tenant: TenantId) => KeptRows;
  readonly checkpoint: (projector: AnyProjector, tenant: TenantId) => Checkpoint | undefined;
  /** Takes the checkpoints away and holds the read model: until `clear` nobody writes to it. */
  readonly beginClearing: (projector: AnyProjector) => void;
  /** Takes the checkpoints and the rows away. */
  readonly clear: (projector: AnyProjector) => void;
}

interface Model {
  readonly checkpoints: Map<TenantId, Checkpoint>;
  readonly rows: Map<TenantId, KeptRows>;
  clearing: boolean;
}

export interface MemorySinkOptions {
  /** Takes a step from wherever the checkpoint stands: what the law forbids, for those who show what comes of it. */
  readonly blind?: boolean;
}

export const memorySink = ({ blind = false }: MemorySinkOptions = {}): MemorySink => {
  const models = new Map<string, Model>();
  const modelOf = ({ name, version }: AnyProjector): Model => {
    const key = `${name} v${version}`;
    const model = models.get(key) ?? { checkpoints: new Map(), rows: new Map(), clearing: false };
    models.set(key, model);
    return model;
  };
  const rowsOf = (projector: AnyProjector, tenant: TenantId): KeptRows => {
    const { rows } = modelOf(projector);
    const own = rows.get(tenant) ?? new Map();
    rows.set(tenant, own);
    return own;
  };
  const apply = async (projector: AnyProjector, step: Step): Promise<StepResult> => {
    const { checkpoints, clearing } = modelOf(projector);
    const { tenant, from, to, fault } = step;
    const at = checkpoints.get(tenant) ?? beginning(tenant);
    const elsewhere = at.seq !== from.seq || at.hash !== from.hash;
    if (clearing || at.fault || (elsewhere && !blind)) return { kind: 'overtaken' };
    const refused = takeFacts(projector, step.facts, rowsOf(projector, tenant));
    if (refused) return refused;
    const { seq, hash, recordedAt } = to;
    checkpoints.set(tenant, { tenant, seq, hash, recordedAt, fault });
    return { kind: 'applied' };
  };
  const sink: RowSink = {
    checkpoints: async (projector, tenant) => {
      const { checkpoints } = modelOf(projector);
      return tenant === undefined
        ? [...checkpoints.values()]
        : [checkpoints.get(tenant) ?? beginning(tenant)];
    },
    held: async (projector) => (modelOf(projector).clearing ? 'paused' : undefined),
    skips: async () => new Set(),
    apply,
    applyAll: (projector, steps) => Promise.all(steps.map((step) => apply(projector, step))),
  };
  const beginClearing = (projector: AnyProjector): void => {
    modelOf(projector).checkpoints.clear();
    modelOf(projector).clearing = true;
  };
  return {
    sink,
    rows: rowsOf,
    checkpoint: (projector, tenant) => modelOf(projector).checkpoints.get(tenant),
    beginClearing,
    clear: (projector) => {
      beginClearing(projector);
      modelOf(projector).rows.clear();
      modelOf(projector).clearing = false;
    },
  };
};

/** Changes `rows`, or says why not. */
const takeFacts = (projector: AnyProjector, facts: Step['facts'], rows: KeptRows): StepResult | undefined => {
  const touched = [...touchedKeys(projector, facts).keys()].flatMap((key) => {
    const row = rows.get(key);
    return row ? [[key, row] as const] : [];
  });
  const { changes, poison } = foldBatch(projector, facts, new Map(touched));
  if (poison) return { kind: 'refused', error: poison.error, fact: poison.fact };
  const written = new Map(changes.upserts);
  for (const row of changes.inserts) {
    const key = keyText(projector.key.map((column) => String(row[column])));
    if (rows.has(key) || written.has(key)) return refused(`there is a row ${key} already`);
    written.set(key, row);
  }
  for (const row of written.values())
    for (const value of Object.values(row))
      if (!fits(value)) return refused(`${String(value)} cannot be kept`);
  for (const key of changes.deletes) rows.delete(keyText(key));
  for (const [key, row] of written) rows.set(key, row);
  return undefined;
};

const refused = (message: string): StepResult => ({ kind: 'refused', error: new Error(message) });

/** What both databases refuse. */
const fits = (value: unknown): boolean =>
  Array.isArray(value)
    ? value.every(fits)
    : typeof value === 'number'
      ? Number.isSafeInteger(value)
      : typeof value !== 'string' || !value.includes('\0');
