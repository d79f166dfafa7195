// What one thread does with one chunk, in two steps, without input or output.
//
//   read   every fact's hash from its own bytes, every link inside the chunk, the subtrees of each tenant's Merkle tree,
//          and the read models whose rows need nothing from before: depends on no other chunk;
//   fold   the link to the chunk before, and the read models that go on from the rows as they were: in order.
import type { AnyProjector } from '#projectors/batch.ts';
import { putHex } from '#proofs/bytes.ts';
import { type ChainPosition, GENESIS_HASH, linkFault } from '#proofs/chain.ts';
import type { Fact, Recorded } from '#schemas/event.ts';
import type { Instant, Seq, Sha256, TenantId } from '#schemas/ids.ts';
import type { LaneChunk, ProvedFact } from './arrivals.ts';
import type { SkippedFacts } from './feed.ts';
import type { AgainKind, Expectation, FixtureHeader } from './fixtures/format.ts';
import { readProvedLines } from './fixtures/proved-lines.ts';
import { type FixtureFact, MalformedLine } from './fixtures/read-lines.ts';
import {
  type ChunkFolded,
  type ChunkRead,
  chainFault,
  type FoldOrder,
  type ReplayFault,
  type SaidAgain,
  type Segment,
  Unsound,
} from './lane-messages.ts';
import { insertOnlyModels, keyedModels, passedOver } from './lane-models.ts';
import { subtrees } from './merkle-range.ts';
import { installPurityGuard } from './purity.ts';

export interface LaneOptions {
  readonly projectors: readonly AnyProjector[];
  /** Facts folded at once. */
  readonly batchSize: number;
  /** Hands out the rows of insert-only models, and not their hashes alone. */
  readonly showRows: boolean;
  /** Types of the facts that sagas, and whoever they ask, look at. */
  readonly followed: readonly string[];
  readonly skipped: readonly SkippedFacts[];
  /** As in `ReplayFeed`. */
  readonly starts: ReadonlyMap<TenantId, Seq>;
}

export interface Lane {
  read(chunk: LaneChunk): ChunkRead;
  /** The chunk that was read first of those not yet folded. */
  fold(order: FoldOrder): ChunkFolded;
}

export const linesChunk =
  (bytes: ArrayBuffer, firstLine: number): LaneChunk =>
  (visit) =>
    readProvedLines(Buffer.from(bytes), firstLine, visit);

const HASH_BYTES = 32;

interface OpenSegment {
  readonly tenant: TenantId;
  /** Its link to the fact before is checked when that is known. */
  readonly first: FixtureFact;
  readonly firstLine: number;
  /** Of the last fact. */
  seq: Seq;
  recordedAt: Instant;
  /** Those that some read model looks at, and their types. */
  readonly facts: Fact[];
  readonly types: Set<string>;
  digests: Buffer<ArrayBuffer>;
  count: number;
}

interface Reading {
  readonly segments: Map<TenantId, OpenSegment>;
  fault: ReplayFault | undefined;
}

export const lane = ({ projectors, batchSize, showRows, ...options }: LaneOptions): Lane => {
  installPurityGuard();
  const unfolded: Reading[] = [];
  const handled = new Set(projectors.flatMap(({ handles }) => handles as readonly string[]));
  const followed = new Set(options.followed);
  const skips = passedOver(projectors, options.skipped);
  const inserting = insertOnlyModels(projectors, { skips, showRows });
  const keyed = keyedModels(projectors, { skips, batchSize });
  return {
    read: (chunk) => {
      const reading: Reading = { segments: new Map(), fault: undefined };
      unfolded.push(reading);
      const start = performance.now();
      const found = takeArrivals(reading, chunk, { handled, followed });
      const open = [...reading.segments.values()];
      const proved = performance.now();
      const segments = open.map((segment) => segmentOf(segment, options.starts));
      const grown = performance.now();
      const rows = guardingFaults(reading, () => inserting(open)) ?? { inserted: [], poisons: [] };
      return {
        ...found,
        ...rows,
        segments,
        fault: reading.fault,
        work: { prove: proved - start, tree: grown - proved, rows: performance.now() - grown },
      };
    },
    fold: (order) => {
      const reading = unfolded.shift();
      if (!reading) throw new Error('nothing was read that could be folded');
      const start = performance.now();
      reading.fault = joinFault(reading, order);
      const folded = reading.fault
        ? undefined
        : guardingFaults(reading, () => keyed([...reading.segments.values()], order));
      const { changes = [], poisons = [] } = folded ?? {};
      return { changes, poisons, fault: reading.fault, work: performance.now() - start };
    },
  };
};

type Arrivals = Pick<ChunkRead, 'facts' | 'again' | 'followed' | 'header' | 'expect'>;

interface Looking {
  readonly handled: ReadonlySet<string>;
  readonly followed: ReadonlySet<string>;
}

/** Takes what has arrived into the reading, up to the first thing that does not hold. */
const takeArrivals = (reading: Reading, chunk: LaneChunk, { handled, followed }: Looking): Arrivals => {
  const again: SaidAgain[] = [];
  const looked: Recorded[] = [];
  const found: { facts: number; header?: FixtureHeader; expect?: Expectation } = { facts: 0 };
  try {
    chunk({
      header: (header) => {
        found.header = header;
      },
      expect: (expect) => {
        found.expect = expect;
      },
      again: (kind, fact, line) => again.push(saidAgain(kind, fact, line)),
      fact: (fact, line) => {
        const recorded = takeFact(reading, fact, { line, handled });
        if (followed.has(fact.type)) looked.push(recorded);
        found.facts += 1;
      },
      proved: (fact) => {
        const { type } = fact;
        const recorded = takeProved(reading, fact, { handled, followed });
        if (recorded && followed.has(type)) looked.push(recorded);
        found.facts += 1;
      },
    });
  } catch (error) {
    reading.fault = faultOf(error);
  }
  return { ...found, again, followed: looked };
};

/** `undefined`, and the fault noted, when domain code was not pure. */
const guardingFaults = <T>(reading: Reading, work: () => T): T | undefined => {
  try {
    return work();
  } catch (error) {
    reading.fault ??= faultOf(error);
    return undefined;
  }
};

const faultOf = (error: unknown): ReplayFault => {
  if (error instanceof Unsound) return error.fault;
  if (error instanceof MalformedLine)
    return { code: 'malformed-line', message: error.message, line: error.line };
  throw error;
};

interface Taking {
  readonly line: number;
  readonly handled: ReadonlySet<string>;
}

/** A fact that is still to be proved, but for its link where it is the tenant's first one of the chunk. */
const takeFact = ({ segments }: Reading, fact: FixtureFact, { line, handled }: Taking): Recorded => {
  const { tenant, seq, recordedAt } = fact;
  const segment = segments.get(tenant) ?? openSegment(fact, line);
  const recorded: Recorded = { ...fact, prevHash: lastHash(segment) };
  if (segment.count > 0) {
    const before = { seq: segment.seq, recordedAt: segment.recordedAt, hash: recorded.prevHash };
    const code = linkFault(recorded, tenant, before);
    if (code) throw new Unsound(chainFault(code, fact, { before: before.seq, line }));
  } else segments.set(tenant, segment);
  putHex(roomForDigest(segment), segment.count * HASH_BYTES, fact.hash);
  segment.count += 1;
  segment.seq = seq;
  segment.recordedAt = recordedAt;
  // What no read model looks at is not kept.
  if (handled.has(fact.type)) keep(segment, recorded);
  return recorded;
};

const keep = ({ facts, types }: OpenSegment, recorded: Recorded): void => {
  facts.push(recorded as Fact);
  types.add(recorded.type);
};

const openSegment = (fact: FixtureFact, line: number): OpenSegment => ({
  tenant: fact.tenant,
  first: fact,
  firstLine: line,
  seq: fact.seq,
  recordedAt: fact.recordedAt,
  facts: [],
  types: new Set(),
  digests: Buffer.from(new ArrayBuffer(64 * HASH_BYTES)),
  count: 0,
});

/** Of the fact that was taken last; of none, what a chain begins with. */
const lastHash = ({ digests, count }: OpenSegment): Sha256 =>
  count === 0
    ? GENESIS_HASH
    : (digests.toString('hex', (count - 1) * HASH_BYTES, count * HASH_BYTES) as Sha256);

const roomForDigest = (segment: OpenSegment): Buffer => {
  const { digests, count } = segment;
  if (digests.length > count * HASH_BYTES) return digests;
  const larger = Buffer.from(new ArrayBuffer(digests.length * 4));
  larger.set(digests);
  segment.digests = larger;
  return larger;
};

/** One that whoever shows it has proved; made a fact of where somebody looks at it. */
const takeProved = (
  { segments }: Reading,
  fact: ProvedFact,
  { handled, followed }: Looking,
): Recorded | undefined => {
  const segment = segments.get(fact.tenant);
  if (!segment) throw new Error("a tenant's first fact of a chunk cannot be proved within it");
  const handles = handled.has(fact.type);
  const recorded = handles || followed.has(fact.type) ? fact.read(lastHash(segment)) : undefined;
  if (recorded && handles) keep(segment, recorded);
  const digests = roomForDigest(segment);
  const { bytes, at } = fact.hash;
  const to = segment.count * HASH_BYTES;
  for (let byte = 0; byte < HASH_BYTES; byte += 1) digests[to + byte] = bytes[at + byte] as number;
  segment.count += 1;
  segment.seq = fact.seq;
  segment.recordedAt = fact.recordedAt;
  return recorded;
};

const saidAgain = (kind: AgainKind, fact: Recorded, line: number): SaidAgain => {
  const { tenant, seq, hash } = fact;
  const before: ChainPosition = {
    seq: (seq - 1) as Seq,
    hash: fact.prevHash,
    recordedAt: fact.recordedAt,
  };
  const code = linkFault(fact, tenant, before);
  if (code) throw new Unsound(chainFault(code, fact, { before: before.seq, line }));
  return { kind, tenant, seq, hash, line };
};

const segmentOf = (segment: OpenSegment, starts: LaneOptions['starts']): Segment => {
  const { tenant, first, seq, recordedAt, digests, count } = segment;
  const used = digests.subarray(0, count * HASH_BYTES);
  return {
    tenant,
    firstSeq: first.seq,
    last: { seq, hash: lastHash(segment), recordedAt },
    subtrees: subtrees(first.seq - 1 - (starts.get(tenant) ?? 0), used),
    digests: used,
  };
};

/** The first fact of each segment against the last one of the chunk before. */
const joinFault = ({ segments }: Reading, { before }: FoldOrder): ReplayFault | undefined => {
  for (const [tenant, place] of before) {
    const segment = segments.get(tenant);
    if (!segment) continue;
    const { first, firstLine } = segment;
    (first as { prevHash?: Sha256 }).prevHash = place.hash;
    const code = linkFault(first as Recorded, tenant, place);
    if (code) return chainFault(code, first, { before: place.seq, line: firstLine });
  }
  return undefined;
};
