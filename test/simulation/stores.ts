// The two stores that receipts are written to: one that stands for PostgreSQL, with tables, and one that stands for Neo4j,
// with elements. Both are filled by the real projectors and the real runner, can be away, can be behind, and can be harmed.
import { catalog, type Mapping } from '#projectors/attestation/catalog.ts';
import type { AttestedStore } from '#projectors/attestation/store.ts';
import type { AnyProjector } from '#projectors/batch.ts';
import { receiptsGraph } from '#projectors/graph/receipts.ts';
import { receipts, receiptsDaily } from '#projectors/receipts.ts';
import { runProjectors } from '#projectors/run.ts';
import type { RowSink } from '#projectors/sink.ts';
import type { Chance } from '#schemas/fixture.ts';
import { StreamError } from '#streams/errors.ts';
import type { StreamFeed } from '#streams/stream.ts';
import { type MemorySink, memorySink } from '#test/projectors/memory-sink.ts';
import { ACME } from '#test/support/memory-ledger.ts';
import { attestedElements, attestedRows } from './attested.ts';
import { type Faults, live } from './fates.ts';
import { type Harm, harm } from './harms.ts';

export const RECEIPTS = catalog.find(({ route }) => route === 'receipts') as Mapping;

export interface SimulatedStore {
  readonly name: 'postgres' | 'neo4j';
  readonly projectors: readonly AnyProjector[];
  /** The one that is attested, and harmed. */
  readonly attestedModel: AnyProjector;
  /** Where its rows are now: a rebuild beside puts another in its place. */
  kept: MemorySink;
  /** What processes write to. */
  readonly sink: RowSink;
  readonly attested: AttestedStore;
  away: boolean;
  /** Not made good yet. */
  readonly harms: Harm[];
  /** Counts up with whatever is done to it. */
  revision: number;
}

/** What a test puts in the place of a sound part, to see that it is found out. */
export interface StorePlants {
  readonly kept?: () => MemorySink;
  readonly sink?: (sink: RowSink) => RowSink;
  readonly attested?: (store: AttestedStore) => AttestedStore;
}

export const openStores = (plants: StorePlants): readonly [tables: SimulatedStore, graph: SimulatedStore] => [
  openStore('postgres', [receipts, receiptsDaily], plants),
  openStore('neo4j', [receiptsGraph], plants),
];

const openStore = (
  name: SimulatedStore['name'],
  projectors: readonly AnyProjector[],
  plants: StorePlants,
): SimulatedStore => {
  const attestedModel = projectors[0] as AnyProjector;
  const reached = <T>(work: () => T): T => {
    if (store.away) throw new StreamError('unavailable', `${name} is away`);
    return work();
  };
  const written = <T>(work: () => T): T =>
    reached(() => {
      store.revision += 1;
      return work();
    });
  const sink: RowSink = {
    checkpoints: async (...of) => reached(() => store.kept.sink.checkpoints(...of)),
    held: async (...of) => reached(() => store.kept.sink.held(...of)),
    skips: async (...of) => reached(() => store.kept.sink.skips(...of)),
    apply: async (...of) => written(() => store.kept.sink.apply(...of)),
    applyAll: async (...of) => written(() => store.kept.sink.applyAll(...of)),
  };
  const rows = () => reached(() => [...store.kept.rows(attestedModel, ACME).values()]);
  const position = async () => reached(() => store.kept.checkpoint(attestedModel, ACME));
  const attested =
    name === 'postgres'
      ? attestedRows({ mapping: RECEIPTS, rows, position })
      : attestedElements({ projector: RECEIPTS.graph, rows, position });
  const store: SimulatedStore = {
    name,
    projectors,
    attestedModel,
    kept: (plants.kept ?? memorySink)(),
    sink: plants.sink?.(sink) ?? sink,
    attested: plants.attested?.(attested) ?? attested,
    away: false,
    harms: [],
    revision: 0,
  };
  return store;
};

export interface Filling {
  readonly feed: StreamFeed;
  readonly chance: Chance;
  readonly faults: Faults;
}

/** A store that stays away is given up, until somebody runs it again. */
const TRIES = 3;

/** Its runner, until it has nothing to do, gives up or dies. */
export const project = async (store: SimulatedStore, filling: Filling): Promise<void> => {
  await fill(store, store.sink, filling);
};

const fill = async (
  { projectors }: SimulatedStore,
  sink: RowSink,
  { feed, chance, faults }: Filling,
): Promise<boolean> =>
  await live(chance, faults, async ({ signal, through }) => {
    const over = new AbortController();
    let tries = 0;
    await runProjectors({
      feed,
      sink: through(sink),
      projectors,
      signal: AbortSignal.any([signal, over.signal]),
      untilCaughtUp: true,
      batchSize: 1 + chance.int(9),
      onRetry: () => {
        tries += 1;
        if (tries >= TRIES) over.abort();
      },
      wait: async () => undefined,
    });
  });

/**
 * Makes a store anew from the ledger, as its own rebuild does: tables beside those that are there, which stand until the
 * new ones have come as far; the graph in its place, held until it is empty.
 */
export const rebuild = async (store: SimulatedStore, filling: Filling): Promise<void> => {
  if (store.away) return;
  if (store.name === 'postgres') return await rebuildBeside(store, filling);
  const cleared = await live(filling.chance, filling.faults, async ({ perhaps }) => {
    for (const projector of store.projectors) await perhaps(async () => store.kept.beginClearing(projector));
    await perhaps(async () => {
      for (const projector of store.projectors) store.kept.clear(projector);
      forgiven(store);
    });
  }).catch(away);
  if (cleared) await project(store, filling);
};

const rebuildBeside = async (store: SimulatedStore, filling: Filling): Promise<void> => {
  const beside = memorySink();
  if (!(await fill(store, beside.sink, filling))) return;
  const seqOf = (kept: MemorySink, projector: AnyProjector): number =>
    kept.checkpoint(projector, ACME)?.seq ?? 0;
  if (store.projectors.some((each) => seqOf(beside, each) < seqOf(store.kept, each))) return;
  store.kept = beside;
  forgiven(store);
};

const forgiven = (store: SimulatedStore): void => {
  store.harms.length = 0;
  store.revision += 1;
};

const away = (error: unknown): false => {
  if (error instanceof StreamError) return false;
  throw error;
};

/** Harms a store behind the ledger's back, where there is something to harm. */
export const harmStore = (store: SimulatedStore, all: readonly SimulatedStore[], chance: Chance): void => {
  if (store.kept.checkpoint(store.attestedModel, ACME) === undefined) return;
  const spared = new Set(all.flatMap(({ harms }) => harms.map(({ seq }) => seq)));
  const rows = store.kept.rows(store.attestedModel, ACME);
  const done = harm({ projector: store.attestedModel, rows, spared }, chance);
  if (!done) return;
  store.harms.push(done);
  store.revision += 1;
};
