// The rows of all read models of a snapshot from one reading of the history: each fact is decoded once, folded by every
// read model, and the rows go out by COPY. One tenant after the other, so that only one tenant's rows are held; of a
// tenant with more rows than may be held the rest is folded in the table itself.
import { type SharedBatch, sharedBatch } from '#projectors/advance.ts';
import { type AnyProjector, foldBatch, keyText } from '#projectors/batch.ts';
import type { Row } from '#projectors/projector.ts';
import { RebuildError } from '#projectors/rebuild/errors.ts';
import type { Fact, Recorded } from '#schemas/event.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import { type BinaryWriter, binaryWriter } from '#streams/postgres/binary.ts';
import { type Pool, withClient } from '#streams/postgres/connect.ts';
import { copyIn } from '#streams/postgres/copy.ts';
import { rowWriter } from '../columns.ts';
import { readStretches } from '../rebuild/facts.ts';
import { loadRows, type Skips } from '../sink.ts';
import { type Statements, statementsFor } from '../statements.ts';
import { write } from '../write.ts';
import type { Place } from './position.ts';

export interface SnapshotModel {
  readonly projector: AnyProjector;
  readonly table: string;
  /** Makes the indexes, once; asked for before the rest when rows must be found again. */
  readonly index: () => Promise<void>;
}

export interface SnapshotFill {
  readonly pool: Pool;
  readonly models: readonly SnapshotModel[];
  readonly position: readonly Place[];
  readonly decode: (recorded: Recorded) => Fact;
  readonly skips: Skips;
  readonly signal: AbortSignal;
  readonly onFacts: (facts: number) => void;
  /** Rows of one tenant in one read model that may be held in memory; 200,000 unless told. */
  readonly maxRows?: number | undefined;
}

const CHUNK_BYTES = 4 << 20;
const MAX_ROWS = 200_000;

interface Filling extends SnapshotModel {
  readonly options: SnapshotFill;
  readonly statements: Statements;
  readonly put: ReturnType<typeof rowWriter>;
  readonly writer: BinaryWriter;
  /** Of the tenant whose facts are being read. */
  readonly rows: Map<string, Row>;
  /** Its rows are in the table, and are loaded as they are touched. */
  spilled: boolean;
  skips: ReadonlySet<Seq> | undefined;
}

/** Throws `RebuildError`: `halted`, `interrupted`; `StreamError`. */
export const fillSnapshot = async (options: SnapshotFill): Promise<void> => {
  const { models, position } = options;
  const fillings = models.map((model) => fillingOf(model, options));
  for (const source of new Set(position.map((place) => place.source)))
    await fillFrom(
      source,
      position.filter((place) => place.source === source),
      { ...options, fillings },
    );
  for (const filling of fillings) await flush(filling);
};

interface FillingFrom extends SnapshotFill {
  readonly fillings: readonly Filling[];
}

const fillFrom = async (
  source: Pool,
  places: readonly Place[],
  { fillings, decode, signal, onFacts }: FillingFrom,
): Promise<void> => {
  const stretches = places.map(({ tenant, tenantNo, seq, hash }) => ({
    tenant,
    tenantNo,
    from: 1 as Seq,
    to: seq,
    prevHash: hash,
  }));
  await withClient(source, async (client) => {
    for await (const { stretch, facts, last } of readStretches(client, stretches)) {
      if (signal.aborted)
        throw new RebuildError('interrupted', 'the snapshot was ended, and what was made of it is dropped');
      const batch = sharedBatch(stretch.tenant, facts, decode);
      for (const filling of fillings) {
        await takePortion(filling, batch);
        if (last) await endTenant(filling, stretch.tenant);
      }
      onFacts(facts.length);
    }
  });
};

const fillingOf = (model: SnapshotModel, options: SnapshotFill): Filling => ({
  ...model,
  options,
  statements: statementsFor(model.projector, model.table),
  put: rowWriter(model.projector),
  writer: binaryWriter(CHUNK_BYTES + (CHUNK_BYTES >> 2)),
  rows: new Map(),
  spilled: false,
  skips: undefined,
});

const takePortion = async (filling: Filling, batch: SharedBatch): Promise<void> => {
  const { projector, options } = filling;
  for (;;) {
    const fault = await foldPortion(filling, batch);
    if (!fault) break;
    if (filling.skips)
      throw new RebuildError(
        'halted',
        `${projector.name} cannot take fact ${fault.seq} of ${batch.tenant}: ${fault.message}; let it pass over the fact (\`prov-ledger projections parked skip\`), ask for a place before it, or leave the tenant or the read model out`,
      );
    // What was decided about the tenant's facts is asked for when one cannot be taken, and then all is folded again.
    filling.skips = await options.skips(projector.name, batch.tenant);
  }
  if (filling.rows.size > (options.maxRows ?? MAX_ROWS)) await spill(filling, batch.tenant);
  if (filling.writer.size() >= CHUNK_BYTES) await flush(filling);
};

/** Folds the whole portion, or says which fact is at fault and changes nothing. */
const foldPortion = async (
  filling: Filling,
  batch: SharedBatch,
): Promise<{ readonly seq: Seq; readonly message: string } | undefined> => {
  const { projector, statements, options } = filling;
  const { tenant } = batch;
  const facts: Fact[] = [];
  for (const [index, { seq, type }] of batch.facts.entries()) {
    if (!projector.handles.includes(type) || filling.skips?.has(seq)) continue;
    const fact = batch.decoded(index);
    if (fact instanceof Error) return { seq, message: fact.message };
    facts.push(fact);
  }
  if (!filling.spilled) {
    const { changes, poison } = foldBatch(projector, facts, filling.rows);
    if (poison) return { seq: poison.fact.seq, message: poison.error.message };
    for (const row of changes.inserts) filling.put(filling.writer, tenant, row);
    for (const [key, row] of changes.upserts) filling.rows.set(key, row);
    for (const key of changes.deletes) filling.rows.delete(keyText(key));
    return undefined;
  }
  return await withClient(options.pool, async (client) => {
    const rows = await loadRows(client, { projector, statements }, [{ tenant, facts }]);
    const { changes, poison } = foldBatch(projector, facts, rows.get(tenant) ?? new Map<string, Row>());
    if (poison) return { seq: poison.fact.seq, message: poison.error.message };
    await write(client, { projector, statements }, [{ tenant, changes }]);
    return undefined;
  });
};

const spill = async (filling: Filling, tenant: TenantId): Promise<void> => {
  for (const row of filling.rows.values()) filling.put(filling.writer, tenant, row);
  filling.rows.clear();
  await flush(filling);
  await filling.index();
  filling.spilled = true;
};

const endTenant = async (filling: Filling, tenant: TenantId): Promise<void> => {
  for (const row of filling.rows.values()) filling.put(filling.writer, tenant, row);
  filling.rows.clear();
  filling.spilled = false;
  filling.skips = undefined;
  if (filling.writer.size() >= CHUNK_BYTES) await flush(filling);
};

const flush = async ({ writer, statements, options }: Filling): Promise<void> => {
  if (writer.size() === 0) return;
  const rows = writer.take();
  await withClient(options.pool, (client) => copyIn(client, { target: statements.copyTarget, rows }));
};
