// Two stores compared, at one place in the chain: the lower of the two places they have come to. Elements carry the fact
// that brought them in, so both can be read as of that place while they are being written to. A store that is behind
// lags; that is no difference.
import type { Seq, TenantId } from '#schemas/ids.ts';
import { type Difference, differences } from './difference.ts';
import type { CanonicalElement, Ends } from './element.ts';
import type { AttestedStore } from './store.ts';
import { type BucketDigest, bucketOf, bucketsOf, differingBuckets, factsOf, tenantRoot } from './tree.ts';

export interface SideFound {
  readonly store: string;
  /** The place it had come to. */
  readonly seq: number;
  /** The root of its tree as of the place that was compared at. */
  readonly root: string;
}

export interface Attested {
  readonly tenant: TenantId;
  /** Where both were compared; 0 when one of them has not begun. */
  readonly asOf: number;
  readonly verdict: 'clean' | 'divergent' | 'lag';
  readonly left: SideFound;
  readonly right: SideFound;
  /** Elements of the left store. */
  readonly elements: number;
  /** Elements read in this run, from both. */
  readonly read: number;
  readonly differences: readonly Difference[];
  /** Elements that differ, where not all of them are named: `differences` has them all unless told. */
  readonly divergent?: number;
}

/** The trees of one tenant in both stores, kept from run to run. */
export interface Trees {
  asOf: number;
  readonly left: Map<number, BucketDigest>;
  readonly right: Map<number, BucketDigest>;
  /** The bucket that is read again next, when all are in turn. */
  next: number;
}

export const noTrees = (): Trees => ({ asOf: 0, left: new Map(), right: new Map(), next: 0 });

export interface AttestOptions {
  readonly tenant: TenantId;
  readonly left: AttestedStore;
  readonly right: AttestedStore;
  /** Brought up to date by this run. */
  readonly trees: Trees;
  /** Buckets that were read before and are read again, beside those with new facts: all unless told. */
  readonly again?: number;
  /** The end of the tenant's chain, asked when it is needed. */
  readonly head: () => Promise<number>;
  /** Awaited between two reads, which are small then, by who has others to serve meanwhile. */
  readonly rest?: () => Promise<unknown>;
}

/** Buckets read at once. Their elements are digested in one go, and meanwhile nothing else is served. */
const READ_BUCKETS = 64;
/** Places to name at most; there may be more. */
const NAMED_MAX = 1_000;

/** Throws `StreamError` when a store is away, `ForeignLog` when the two were folded from different chains. */
export const attest = async (options: AttestOptions): Promise<Attested> => {
  const { tenant, left, right, trees } = options;
  const [at, other] = await Promise.all([left.position(tenant), right.position(tenant)]);
  const places = [at?.seq ?? 0, other?.seq ?? 0] as const;
  if (at && other && at.seq === other.seq && at.hash !== other.hash) throw new ForeignLog(tenant, at.seq);
  const asOf = Math.min(...places);
  // One of them is being filled anew: what it will hold is not there yet.
  if (asOf === 0 || asOf < trees.asOf) return lagging(options, places);
  const read = await renew(options, asOf);
  trees.asOf = asOf;
  const apart = differingBuckets(trees.left, trees.right);
  const strays = options.again === undefined ? await strayElements(options, asOf) : [];
  const found = apart.length + strays.length > 0 ? await locate(options, apart, { asOf, strays }) : NOTHING;
  // They differed when they were read first and no longer do: somebody put it right in between.
  if (found.differences.length === 0)
    for (const bucket of apart) await readBuckets(options, bucket, { to: bucket, asOf });
  if (found.differences.length > 0) {
    // A rebuild takes the checkpoint away before the elements: what was read then is no finding.
    const after = await Promise.all([left.position(tenant), right.position(tenant)]);
    if (after.some((position) => (position?.seq ?? 0) < asOf)) return lagging(options, places);
  }
  return {
    tenant,
    asOf,
    verdict: found.differences.length > 0 ? 'divergent' : 'clean',
    left: { store: left.name, seq: places[0], root: tenantRoot(trees.left) },
    right: { store: right.name, seq: places[1], root: rootWith(trees, strays) },
    elements: [...trees.left.values()].reduce((sum, { elements }) => sum + elements, 0),
    read: read + found.read,
    differences: found.differences,
  };
};

/** The two stores were not folded from one chain: one of them belongs to another ledger, or to an older state of it. */
export class ForeignLog extends Error {
  override readonly name = 'ForeignLog';
  constructor(tenant: TenantId, seq: number) {
    super(
      `the stores of ${tenant} hold different chains at place ${seq}; rebuild the one that is not of this ledger`,
    );
  }
}

const NOTHING = { differences: [] as readonly Difference[], read: 0 };

const rootWith = ({ right }: Trees, strays: readonly CanonicalElement[]): string =>
  strays.length === 0
    ? tenantRoot(right)
    : tenantRoot(new Map([...right, ...bucketsOf(strays.map(outside))]));

/** Below every bucket: where no fact is. */
const outside = ({ digest }: CanonicalElement) => ({ seq: undefined, digest });

const lagging = (
  { tenant, left, right, trees }: AttestOptions,
  places: readonly [number, number],
): Attested => ({
  tenant,
  asOf: 0,
  verdict: 'lag',
  left: { store: left.name, seq: places[0], root: tenantRoot(trees.left) },
  right: { store: right.name, seq: places[1], root: tenantRoot(trees.right) },
  elements: 0,
  read: 0,
  differences: [],
});

/** Reads the buckets with new facts and those whose turn it is; how many elements that was. */
const renew = async (options: AttestOptions, asOf: number): Promise<number> => {
  const { trees, again = Number.POSITIVE_INFINITY, rest } = options;
  const atOnce = rest ? 1 : READ_BUCKETS;
  const fresh = trees.asOf === 0 ? 0 : bucketOf(trees.asOf + 1);
  const last = bucketOf(asOf);
  let read = 0;
  const spans = again >= fresh ? [[0, last] as const] : [turn(trees, fresh, again), [fresh, last] as const];
  for (const [from, to] of spans)
    for (let bucket = from; bucket <= to; bucket += atOnce) {
      read += await readBuckets(options, bucket, { to: Math.min(bucket + atOnce - 1, to), asOf });
      await rest?.();
    }
  return read;
};

/** The next buckets in turn, among those below `fresh`. */
const turn = (trees: Trees, fresh: number, again: number): readonly [number, number] => {
  const from = trees.next < fresh ? trees.next : 0;
  const to = Math.min(from + again, fresh) - 1;
  trees.next = to + 1;
  return [from, to];
};

const readBuckets = async (
  { tenant, left, right, trees }: AttestOptions,
  from: number,
  { to, asOf }: { readonly to: number; readonly asOf: number },
): Promise<number> => {
  const facts = [factsOf(from).from as Seq, Math.min(factsOf(to).to, asOf) as Seq] as const;
  const sides = await Promise.all([left.range(tenant, ...facts), right.range(tenant, ...facts)]);
  for (const [side, elements] of [
    [trees.left, sides[0]],
    [trees.right, sides[1]],
  ] as const) {
    for (let bucket = from; bucket <= to; bucket += 1) side.delete(bucket);
    for (const [bucket, digest] of bucketsOf(elements)) side.set(bucket, digest);
  }
  return sides[0].length + sides[1].length;
};

/** Asked before the head: what lies beyond the head that was asked afterwards cannot have been recorded meanwhile. */
export const strayElements = async (
  { tenant, right, head }: Pick<AttestOptions, 'tenant' | 'right' | 'head'>,
  asOf: number,
): Promise<readonly CanonicalElement[]> => {
  const beyond = await right.strays(tenant, asOf as Seq);
  if (beyond.length === 0) return [];
  const end = await head();
  return beyond.filter(({ seq }) => seq === undefined || seq < 1 || seq > end);
};

interface Located {
  readonly differences: readonly Difference[];
  readonly read: number;
}

/** Descends into the buckets that differ, and to the elements; each is then asked for by its key in both stores. */
const locate = async (
  { tenant, left, right }: AttestOptions,
  buckets: readonly number[],
  { asOf, strays }: { readonly asOf: number; readonly strays: readonly CanonicalElement[] },
): Promise<Located> => {
  let read = strays.length;
  // By spelling: two forms of the same characters are one element, and a store finds it by its own form only.
  const wanted = new Map<string, Ends>();
  const want = (...ends: Ends): unknown => wanted.set(JSON.stringify(ends), ends);
  for (const { ends } of strays) want(...ends);
  for (const bucket of buckets) {
    if (wanted.size >= NAMED_MAX) break;
    const { from, to } = factsOf(bucket);
    const facts = [from as Seq, Math.min(to, asOf) as Seq] as const;
    const both = await Promise.all([left.range(tenant, ...facts), right.range(tenant, ...facts)]);
    read += both[0].length + both[1].length;
    const apart = new Set(differences(...both).map(({ element }) => element));
    for (const { key, ends } of both.flat()) if (apart.has(key)) want(...ends);
  }
  for (const [element, id, target] of wanted.values()) if (target !== '') want(element, target, id);
  const all = [...wanted.values()];
  const sides = await Promise.all([left.find(tenant, all), right.find(tenant, all)]);
  return { differences: differences(...sides), read: read + sides[0].length + sides[1].length };
};
