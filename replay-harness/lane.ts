// What one thread does with one chunk, in two steps, without input or output.
//
//   read   every fact's hash from its own bytes, every link inside the chunk, the subtrees of each tenant's Merkle tree,
//          and the read models whose rows need nothing from before: depends on no other chunk;
//   fold   the link to the chunk before, and the read models that go on from the rows as they were: in order.
import type { AnyProjector } from '#projectors/batch.ts';
import { type ChainFault, type ChainPosition, linkFault } from '#proofs/chain.ts';
import type { Fact, Recorded } from '#schemas/event.ts';
import type { Seq, Sha256, TenantId } from '#schemas/ids.ts';
import type { SkippedFacts } from './feed.ts';
import type { AgainKind, Expectation, FixtureHeader } from './fixtures/format.ts';
import {
  type FixtureFact,
  type LineVisitor,
  type Link,
  MalformedLine,
  readFixtureLines,
} from './fixtures/read-lines.ts';
import {
  type ChunkFolded,
  type ChunkRead,
  type FoldOrder,
  type ReplayFault,
  type SaidAgain,
  type Segment,
  Unsound,
} from './lane-messages.ts';
import { insertOnlyModels, keyedModels, passedOver } from './lane-models.ts';
import { subtrees } from './merkle-range.ts';
import { guardedProjector, installPurityGuard } from './purity.ts';

export interface LaneOptions {
  readonly projectors: readonly AnyProjector[];
  /** Facts folded at once. */
  readonly batchSize: number;
  /** Hands out the rows of insert-only models, and not their hashes alone. */
  readonly showRows: boolean;
  /** Types of the facts that sagas, and whoever they ask, look at. */
  readonly followed: readonly string[];
  readonly skipped: readonly SkippedFacts[];
}

export interface Lane {
  read(chunk: LaneChunk): ChunkRead;
  /** The chunk that was read first of those not yet folded. */
  fold(order: FoldOrder): ChunkFolded;
}

/** Hands each of a chunk's arrivals to the visitor; throws `MalformedLine`. */
export type LaneChunk = (visit: LineVisitor) => void;

export const linesChunk =
  (bytes: ArrayBuffer, firstLine: number): LaneChunk =>
  (visit) =>
    readFixtureLines(Buffer.from(bytes), firstLine, visit);

const HASH_BYTES = 32;

interface OpenSegment {
  readonly tenant: TenantId;
  /** Its link to the fact before is checked when that is known. */
  readonly first: FixtureFact;
  readonly firstLine: number;
  last: ChainPosition;
  readonly facts: Fact[];
  digests: Buffer<ArrayBuffer>;
  count: number;
}

interface Reading {
  readonly segments: Map<TenantId, OpenSegment>;
  fault: ReplayFault | undefined;
}

export const lane = ({ projectors: given, batchSize, showRows, ...options }: LaneOptions): Lane => {
  installPurityGuard();
  const projectors = given.map(guardedProjector);
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
      const segments = open.map(segmentOf);
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
      fact: (fact, line, link) => {
        takeFact(reading, fact, { line, link, handled });
        if (followed.has(fact.type)) looked.push(fact as Recorded);
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

const EXPLAINED: { readonly [Code in ChainFault]: string } = {
  'wrong-tenant': 'it belongs to another tenant',
  'seq-gap': 'a fact is missing, repeated or out of order',
  'broken-link': 'it names another fact before it',
  'hash-mismatch': 'its content, or the facts before it, are not those that were hashed',
  'time-went-back': 'it was recorded before the fact before it',
};

export const chainFault = (
  code: ChainFault,
  { tenant, seq }: Pick<Recorded, 'tenant' | 'seq'>,
  { before, line }: { readonly before: Seq; readonly line: number },
): ReplayFault => ({
  code,
  tenant,
  seq,
  line,
  message: `line ${line}: fact ${seq} of ${tenant} does not follow on fact ${before}: ${EXPLAINED[code]}`,
});

interface Taking {
  readonly line: number;
  readonly link: Link;
  readonly handled: ReadonlySet<string>;
}

const takeFact = ({ segments }: Reading, fact: FixtureFact, { line, link, handled }: Taking): void => {
  const { tenant } = fact;
  let segment = segments.get(tenant);
  const recorded = fact as FixtureFact & { prevHash: Sha256 };
  if (segment) {
    recorded.prevHash = segment.last.hash;
    const code = link === 'proved' ? undefined : linkFault(recorded, tenant, segment.last);
    if (code) throw new Unsound(chainFault(code, fact, { before: segment.last.seq, line }));
    segment.last = fact;
  } else {
    segment = {
      tenant,
      first: fact,
      firstLine: line,
      last: fact,
      facts: [],
      digests: Buffer.from(new ArrayBuffer(64 * HASH_BYTES)),
      count: 0,
    };
    segments.set(tenant, segment);
  }
  if (segment.digests.length === segment.count * HASH_BYTES) {
    const larger = Buffer.from(new ArrayBuffer(segment.digests.length * 4));
    larger.set(segment.digests);
    segment.digests = larger;
  }
  segment.digests.write(fact.hash, segment.count * HASH_BYTES, HASH_BYTES, 'hex');
  segment.count += 1;
  // What no read model looks at is not kept.
  if (handled.has(fact.type)) segment.facts.push(recorded as unknown as Fact);
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

const segmentOf = ({ tenant, first, last, digests, count }: OpenSegment): Segment => {
  const used = digests.subarray(0, count * HASH_BYTES);
  return {
    tenant,
    firstSeq: first.seq,
    last: { seq: last.seq, hash: last.hash, recordedAt: last.recordedAt },
    subtrees: subtrees(first.seq - 1, used),
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
