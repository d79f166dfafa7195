// Where a replay stands, in the order of its chunks: each tenant's place and Merkle tree, each read model's rows, what has
// halted. One thread keeps it; what it learns from each chunk is small.
import type { AnyProjector } from '#projectors/batch.ts';
import { ROW_HASH_BYTES, rowForm } from '#projectors/digest.ts';
import type { Row } from '#projectors/projector.ts';
import { CHAIN_START, type ChainPosition } from '#proofs/chain.ts';
import type { Seq, Sha256, TenantId } from '#schemas/ids.ts';
import { AGAIN_WITHIN, type Expectation, type ExpectedModel, type FixtureStart } from './fixtures/format.ts';
import {
  type ChunkFolded,
  type ChunkRead,
  type FoldOrder,
  type Halted,
  haltKey,
  type ModelNews,
  type Poison,
  type ReplayFault,
  type SaidAgain,
} from './lane-messages.ts';
import { apply } from './lane-models.ts';
import { type RangeTree, rangeTree, type Subtree } from './merkle-range.ts';
import { type RowHashes, type RowHashesState, rowHashes } from './row-hashes.ts';

export interface Course extends Disposable {
  /** What the lane needs to fold the chunk that it has read. */
  readonly order: (lane: number, read: ChunkRead) => FoldOrder;
  /** Takes the chunk in; a fault ends the replay. */
  readonly take: (lane: number, read: ChunkRead, folded: ChunkFolded) => ReplayFault | undefined;
  readonly facts: () => number;
  readonly outcome: () => Expectation;
  /** What the history itself says that it must come to. */
  readonly expected: () => Expectation | undefined;
  readonly halts: () => readonly Halted[];
  readonly state: () => CourseState;
  /** Tells the rows of the models that are not insert-only, as they are now. */
  readonly showKeyedRows: () => void;
}

export interface CourseState {
  readonly counts: { readonly facts: number; readonly repeats: number; readonly conflicts: number };
  readonly chains: readonly {
    readonly tenant: TenantId;
    readonly place: ChainPosition;
    readonly start: Seq;
    readonly tree: readonly Subtree[];
    /** The last facts' hashes in hexadecimal. */
    readonly recent: string;
  }[];
  readonly rows: readonly {
    readonly model: number;
    readonly tenant: TenantId;
    readonly rows: [string, Row][];
  }[];
  readonly hashes: readonly (RowHashesState | undefined)[];
  readonly halts: readonly (Halted & { readonly model: number })[];
}

export interface CourseOptions {
  readonly projectors: readonly AnyProjector[];
  readonly folder: string;
  readonly lanes: number;
  readonly from?: CourseState | undefined;
  /** As in `ReplayOptions`. */
  readonly onRows?: ((projection: string, lines: readonly string[]) => void) | undefined;
}

interface Chain {
  place: ChainPosition;
  /** The seq before the first fact. */
  readonly start: Seq;
  readonly tree: RangeTree;
  /** The hashes of the last facts, for what is said again. */
  recent: Buffer;
}

type Rows = Map<TenantId, Map<string, Row>>;

interface State {
  readonly options: CourseOptions;
  readonly chains: Map<TenantId, Chain>;
  /** By model; only of keyed ones. */
  readonly rows: readonly Rows[];
  /** By model; only of insert-only ones. */
  readonly hashes: readonly (RowHashes | undefined)[];
  readonly halts: Map<string, Halted & { readonly model: number }>;
  /** By lane: what the others have changed since its last fold. */
  readonly news: Map<string, ModelNews>[];
  counts: { facts: number; repeats: number; conflicts: number };
  expected: Expectation | undefined;
}

export const replayCourse = (options: CourseOptions): Course => {
  const state = startState(options);
  return {
    order: (lane, read) => orderFor(state, lane, read),
    take: (lane, read, folded) => {
      for (const { kind } of read.again) state.counts[kind === 'repeat' ? 'repeats' : 'conflicts'] += 1;
      if (folded.fault) return folded.fault;
      takeSegments(state, read);
      takeModels(state, lane, read, folded);
      state.counts.facts += read.facts;
      state.expected = read.expect ?? state.expected;
      const fault = againFault(state, read.again) ?? read.fault;
      forgetOld(state, read);
      return fault;
    },
    facts: () => state.counts.facts,
    outcome: () => outcomeOf(state),
    expected: () => state.expected,
    halts: () => [...state.halts.values()].map(({ model: _, ...halt }) => halt),
    state: () => savedState(state),
    showKeyedRows: () => showKeyedRows(state),
    [Symbol.dispose]: () => {
      for (const each of state.hashes) each?.[Symbol.dispose]();
    },
  };
};

const startState = (options: CourseOptions): State => {
  const { projectors, folder, lanes, from } = options;
  const rows: readonly Rows[] = projectors.map(() => new Map());
  for (const saved of from?.rows ?? []) rows[saved.model]?.set(saved.tenant, new Map(saved.rows));
  const news = Array.from({ length: lanes }, () => new Map<string, ModelNews>());
  for (const lane of news)
    for (const { model, tenant, rows: saved } of from?.rows ?? [])
      lane.set(haltKey(model, tenant), { model, tenant, rows: new Map(saved) });
  return {
    options,
    rows,
    news,
    chains: new Map(
      from?.chains.map(({ tenant, tree, recent, ...chain }) => [
        tenant,
        { ...chain, tree: rangeTree(tree), recent: Buffer.from(recent, 'hex') },
      ]),
    ),
    hashes: projectors.map((projector, model) =>
      projector.insertOnly
        ? rowHashes({ folder, name: `replayed-${projector.name}`, from: from?.hashes[model] })
        : undefined,
    ),
    halts: new Map(from?.halts.map((halt) => [haltKey(halt.model, halt.tenant), halt])),
    counts: { facts: 0, repeats: 0, conflicts: 0, ...from?.counts },
    expected: undefined,
  };
};

const orderFor = (state: State, lane: number, read: ChunkRead): FoldOrder => {
  for (const start of read.header?.before ?? []) openChain(state, start);
  const waiting = state.news[lane] as Map<string, ModelNews>;
  const news = [...waiting.values()];
  waiting.clear();
  return {
    before: read.segments.map(({ tenant }) => [tenant, state.chains.get(tenant)?.place ?? CHAIN_START]),
    news,
    halted: [...state.halts.keys()],
  };
};

const openChain = ({ chains }: State, { tenant, seq, hash, recorded_at }: FixtureStart): void => {
  const place = { seq, hash, recordedAt: recorded_at };
  chains.set(tenant, { place, start: seq, tree: rangeTree(), recent: Buffer.alloc(0) });
};

const RECENT_BYTES = AGAIN_WITHIN * ROW_HASH_BYTES;

const takeSegments = ({ chains }: State, { segments }: ChunkRead): void => {
  for (const { tenant, last, subtrees, digests } of segments) {
    const chain: Chain = chains.get(tenant) ?? {
      place: CHAIN_START,
      start: 0 as Seq,
      tree: rangeTree(),
      recent: Buffer.alloc(0),
    };
    chains.set(tenant, chain);
    chain.place = last;
    chain.tree.add(subtrees);
    chain.recent = Buffer.concat([chain.recent, digests]);
  }
};

/** Only what may still be said again: copied, so that a chunk's bytes are not kept alive for a few of them. */
const forgetOld = ({ chains }: State, { segments }: ChunkRead): void => {
  for (const { tenant } of segments) {
    const chain = chains.get(tenant) as Chain;
    if (chain.recent.length > RECENT_BYTES) chain.recent = Buffer.from(chain.recent.subarray(-RECENT_BYTES));
  }
};

/** What is said again must be the fact at its place; a conflict must not be. */
const againFault = ({ chains }: State, again: readonly SaidAgain[]): ReplayFault | undefined => {
  for (const { kind, tenant, seq, hash, line } of again) {
    const chain = chains.get(tenant);
    const back = (chain?.place.seq ?? 0) - seq;
    const at = (chain?.recent.length ?? 0) - (back + 1) * ROW_HASH_BYTES;
    const fault = (message: string): ReplayFault => ({
      code: 'wrong-again',
      message: `line ${line}: ${message}`,
      tenant,
      seq,
      line,
    });
    if (!chain || back < 0 || at < 0)
      return fault(`says fact ${seq} of ${tenant} again, which is not among the last ${AGAIN_WITHIN}`);
    const same = chain.recent.toString('hex', at, at + ROW_HASH_BYTES) === hash;
    if (kind === 'repeat' && !same)
      return fault(`calls itself a repetition of fact ${seq} of ${tenant}, which is another`);
    if (kind === 'conflict' && same)
      return fault(`calls itself a conflict with fact ${seq} of ${tenant}, but is that very fact`);
  }
  return undefined;
};

const takeModels = (state: State, lane: number, read: ChunkRead, folded: ChunkFolded): void => {
  for (const { model, tenant, hashes, lines } of read.inserted) {
    if (state.halts.has(haltKey(model, tenant))) continue;
    state.hashes[model]?.add(hashes);
    if (lines) state.options.onRows?.(state.options.projectors[model]?.name ?? '', lines);
  }
  for (const change of folded.changes) {
    const { model, tenant, rows } = change;
    const mine = state.rows[model] as Rows;
    const known = mine.get(tenant) ?? new Map<string, Row>();
    mine.set(tenant, known);
    apply(known, rows);
    state.news.forEach((waiting, other) => {
      if (other !== lane)
        waiting.set(haltKey(model, tenant), merged(waiting.get(haltKey(model, tenant)), change));
    });
  }
  for (const poison of [...read.poisons, ...folded.poisons]) halt(state, poison);
};

const merged = (before: ModelNews | undefined, change: ModelNews): ModelNews =>
  before ? { ...change, rows: new Map([...before.rows, ...change.rows]) } : change;

const halt = ({ halts, options }: State, { model, tenant, seq, message }: Poison): void => {
  const key = haltKey(model, tenant);
  const projection = options.projectors[model]?.name ?? '';
  if (!halts.has(key)) halts.set(key, { model, projection, tenant, seq, message });
};

const outcomeOf = (state: State): Expectation => {
  const { facts, repeats, conflicts } = state.counts;
  return {
    arrivals: facts + repeats + conflicts,
    facts,
    repeats,
    conflicts,
    chains: [...state.chains.keys()].sort().map((tenant) => {
      const { place, tree } = state.chains.get(tenant) as Chain;
      return { tenant, seq: place.seq, hash: place.hash, root: tree.root() };
    }),
    models: state.options.projectors.map((_, model) => modelOutcome(state, model)),
  };
};

const modelOutcome = ({ options, rows, hashes, halts }: State, model: number): ExpectedModel => {
  const projector = options.projectors[model] as AnyProjector;
  const halted = [...halts.values()]
    .filter((each) => each.model === model)
    .map(({ tenant, seq }) => ({ tenant, seq: seq as Seq }))
    .sort((a, b) => (a.tenant < b.tenant ? -1 : 1));
  using keyed = rowHashes({ folder: options.folder, name: `outcome-${projector.name}` });
  const all = hashes[model] ?? keyed;
  const form = rowForm(projector);
  for (const [tenant, mine] of rows[model] as Rows) keyed.add(form.hashes(tenant, [...mine.values()]));
  return {
    projection: projector.name,
    version: projector.version,
    rows: all.count(),
    digest: all.digest() as Sha256,
    ...(halted.length > 0 && { halted }),
  };
};

const showKeyedRows = ({ options, rows }: State): void => {
  const { projectors, onRows } = options;
  for (const [model, projector] of projectors.entries()) {
    const { line } = rowForm(projector);
    for (const [tenant, mine] of rows[model] as Rows)
      onRows?.(
        projector.name,
        Array.from(mine.values(), (row) => line(tenant, row)),
      );
  }
};

const savedState = ({ chains, rows, hashes, halts, counts }: State): CourseState => ({
  counts: { ...counts },
  chains: [...chains].map(([tenant, { place, start, tree, recent }]) => ({
    tenant,
    place,
    start,
    tree: tree.state(),
    recent: recent.toString('hex'),
  })),
  rows: rows.flatMap((mine, model) =>
    [...mine].map(([tenant, each]) => ({ model, tenant, rows: [...each] })),
  ),
  hashes: hashes.map((each) => each?.state()),
  halts: [...halts.values()],
});
