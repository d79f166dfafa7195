// Elements and checkpoints in Neo4j. A step, or the steps of many tenants together, is one transaction:
//   move the checkpoints by compare-and-swap · load the touched elements · fold · write
// Neo4j reads what others have committed and no more (no snapshot, no SELECT ... FOR UPDATE): a checkpoint is written to
// before it is read, which takes its lock, and the lock of the checkpoint stands for all the tenant's elements.
import { type AnyProjector, foldBatch, keyText, touchedKeys } from '#projectors/batch.ts';
import type { AnyGraphProjector, ElementRow } from '#projectors/graph/graph.ts';
import {
  beginning,
  type Checkpoint,
  type Held,
  type RowSink,
  type Step,
  type StepResult,
} from '#projectors/sink.ts';
import type { Fact } from '#schemas/event.ts';
import type { Instant, Seq, Sha256, TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import { type Graph, type GraphRecord, graphError, type Statement } from './connect.ts';
import {
  loadElements,
  MissingEnd,
  removeElements,
  type TenantElement,
  type TenantElementKey,
  writeElements,
} from './elements.ts';
import { CHECKPOINT, graphSource, READ_MODEL } from './schema.ts';
import { asInteger, asNumber, UnfitElement } from './values.ts';

export interface GraphSinkOptions {
  readonly graph: Graph;
  /** Facts that a read model passes over; none unless told. */
  readonly skips?: ((projection: string, tenant: TenantId) => Promise<ReadonlySet<Seq>>) | undefined;
}

/** Thrown inside the transaction, so that it is rolled back. */
class Poison extends Error {
  readonly fact: Fact;
  override readonly cause: Error;
  constructor(fact: Fact, cause: Error) {
    super(cause.message);
    this.fact = fact;
    this.cause = cause;
  }
}

const NONE: ReadonlySet<Seq> = new Set();

/** The projectors must be graph projectors, and `ensureGraph` must have been run. */
export const neo4jSink = ({ graph, skips }: GraphSinkOptions): RowSink => {
  const applyAll: RowSink['applyAll'] = async (projector, steps) => {
    let taken: ReadonlySet<TenantId>;
    try {
      taken = await graph.transaction((run) => takeSteps(run, graphProjector(projector), steps));
    } catch (error) {
      const refusal = refusalOf(error);
      if (steps.length === 1) return [refusal];
      // Whose it was shows when each goes by itself.
      const each: StepResult[] = [];
      for (const step of steps) each.push(...(await applyAll(projector, [step])));
      return each;
    }
    return steps.map(({ tenant }) => ({ kind: taken.has(tenant) ? 'applied' : 'overtaken' }));
  };
  return {
    checkpoints: async (projector, tenant) => {
      const found = await readGraphCheckpoints(graph, projector, tenant);
      const known = tenant !== undefined && found.length === 0 ? [beginning(tenant)] : found;
      const held = await heldAs(graph, projector);
      return held ? known.map((checkpoint) => ({ ...checkpoint, held })) : known;
    },
    held: (projector) => heldAs(graph, projector),
    skips: async ({ name }, tenant) => (await skips?.(name, tenant)) ?? NONE,
    apply: async (projector, step) => (await applyAll(projector, [step]))[0] as StepResult,
    applyAll,
  };
};

const graphProjector = (projector: AnyProjector): AnyGraphProjector => {
  if ('nodes' in projector) return projector as AnyGraphProjector;
  throw new TypeError(`${projector.name} is no graph: give it to a sink of rows`);
};

/** `paused` while a rebuild removes what is there. */
const heldAs = async (graph: Graph, projector: AnyProjector): Promise<Held | undefined> => {
  const [model] = await graph.query(
    `MATCH (m:${READ_MODEL} {projection: $name, version: $version}) RETURN m.source AS source, m.clearing AS clearing`,
    named(projector),
  );
  if (!model)
    throw new StreamError(
      'unavailable',
      `Neo4j has no note of ${projector.name}: its constraints are not made yet`,
    );
  if (model['clearing'] === true) return 'paused';
  return model['source'] === (await graphSource(graphProjector(projector))) ? undefined : 'changed';
};

/** As statements name a read model. */
export const named = ({ name, version }: AnyProjector) => ({ name, version: asInteger(version) });

/** Of all tenants or of one; those that never took a step are not there. Throws `StreamError`. */
export const readGraphCheckpoints = async (
  graph: Graph,
  projector: AnyProjector,
  tenant?: TenantId,
): Promise<readonly Checkpoint[]> => {
  const records = await graph.query(
    `MATCH (c:${CHECKPOINT} {projection: $name, version: $version}) WHERE c.seq > 0 OR c.fault_seq IS NOT NULL
     ${tenant === undefined ? '' : 'WITH c WHERE c.tenant = $tenant'} RETURN properties(c) AS c ORDER BY c.tenant`,
    { ...named(projector), tenant },
  );
  return records.map(({ c }) => checkpointOf(c as GraphRecord));
};

const checkpointOf = (held: GraphRecord): Checkpoint => ({
  tenant: held['tenant'] as TenantId,
  seq: asNumber(held['seq']) as Seq,
  hash: held['hash'] as Sha256,
  recordedAt: asNumber(held['recorded_at']) as Instant,
  fault:
    held['fault_seq'] === undefined
      ? undefined
      : {
          seq: asNumber(held['fault_seq']) as Seq,
          id: String(held['fault_id']),
          message: String(held['fault_message']),
        },
});

// Whoever comes first makes the node, to have its lock, and may have come from a checkpoint that a rebuild removed: at 0
// there is no hash to compare.
const MOVE = `
UNWIND $steps AS s
MERGE (c:${CHECKPOINT} {projection: $name, version: $version, tenant: s.tenant})
  ON CREATE SET c.seq = 0, c.recorded_at = 0
SET c.locked = true
WITH c, s
MATCH (m:${READ_MODEL} {projection: $name, version: $version})
WHERE c.seq = s.from_seq AND (c.seq = 0 OR c.hash = s.from_hash) AND c.fault_seq IS NULL AND NOT m.clearing
SET c.seq = s.seq, c.hash = s.hash, c.recorded_at = s.recorded_at, c.fault_seq = s.fault_seq, c.fault_id = s.fault_id,
    c.fault_message = s.fault_message
RETURN s.tenant AS tenant`;

const takeSteps = async (
  run: Statement,
  projector: AnyGraphProjector,
  steps: readonly Step[],
): Promise<ReadonlySet<TenantId>> => {
  // In the order of their tenants, so that two runners with the same ones wait and do not deadlock.
  const inOrder = steps.toSorted((a, b) => (a.tenant < b.tenant ? -1 : 1));
  const records = await run(MOVE, { ...named(projector), steps: inOrder.map(stepParameters) });
  const moved = new Set(records.map(({ tenant }) => tenant as TenantId));
  const taken = inOrder.filter(({ tenant, facts }) => moved.has(tenant) && facts.length > 0);
  const rows = await loadTouched(run, projector, taken);
  const upserts: TenantElement[] = [];
  const deletes: TenantElementKey[] = [];
  for (const { tenant, facts } of taken) {
    const { changes, poison } = foldBatch(projector, facts, rows.get(tenant) ?? new Map());
    if (poison) throw new Poison(poison.fact, poison.error);
    for (const row of changes.upserts.values()) upserts.push({ tenant, row: row as ElementRow });
    for (const key of changes.deletes) deletes.push({ tenant, key });
  }
  await removeElements(run, projector, deletes);
  await writeElements(run, projector, upserts);
  return moved;
};

const stepParameters = ({ tenant, from, to, fault }: Step) => ({
  tenant,
  from_seq: asInteger(from.seq),
  from_hash: from.hash,
  seq: asInteger(to.seq),
  hash: to.hash,
  recorded_at: asInteger(to.recordedAt),
  fault_seq: fault ? asInteger(fault.seq) : null,
  fault_id: fault?.id ?? null,
  fault_message: fault?.message ?? null,
});

const loadTouched = async (
  run: Statement,
  projector: AnyGraphProjector,
  steps: readonly Step[],
): Promise<ReadonlyMap<TenantId, ReadonlyMap<string, ElementRow>>> => {
  const keys = steps.flatMap(({ tenant, facts }) =>
    [...touchedKeys(projector, facts).values()].map((key) => ({ tenant, key })),
  );
  const rows = new Map<TenantId, Map<string, ElementRow>>();
  for (const { tenant } of steps) rows.set(tenant, new Map());
  for (const { tenant, row } of await loadElements(run, projector, keys))
    rows.get(tenant)?.set(keyText([row.element, row.id, row.target]), row);
  return rows;
};

const refusalOf = (error: unknown): StepResult => {
  if (error instanceof Poison) return { kind: 'refused', error: error.cause, fact: error.fact };
  if (error instanceof UnfitElement || error instanceof MissingEnd) return { kind: 'refused', error };
  const cause = (error as { cause?: { code?: string } }).cause?.code ?? '';
  if (cause.startsWith('Neo.TransientError.Transaction.')) return { kind: 'overtaken' };
  // A value or a key that the server does not keep: too long for its index, or no property at all.
  if (cause.startsWith('Neo.ClientError.Statement.') || cause.startsWith('Neo.ClientError.Schema.'))
    return { kind: 'refused', error: error as Error };
  throw error instanceof StreamError ? error : graphError(error);
};
