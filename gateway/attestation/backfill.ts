// Digests of history, computed from the ledger, and both stores held to them. First the ledger: what its facts say that
// the stores must hold, span by span, each on record once and for all; a run that was cut off goes on after the last span.
// Then the stores, each against the ledger and never against the other. What differs is named with the store that is
// wrong; only when nothing does is the backfill on record that the drift saga waits for (sagas/attestations.ts).
import { setTimeout as pause } from 'node:timers/promises';
import { type AttestationCommand, attestations } from '#commands/attestations.ts';
import { claimId, type Outcome, runCommand } from '#commands/run.ts';
import { ForeignLog, strayElements } from '#projectors/attestation/attest.ts';
import type { Mapping } from '#projectors/attestation/catalog.ts';
import { type Difference, differences } from '#projectors/attestation/difference.ts';
import type { CanonicalElement } from '#projectors/attestation/element.ts';
import { type ExpectedElements, expectedElements } from '#projectors/attestation/expected.ts';
import type { AttestedStore } from '#projectors/attestation/store.ts';
import {
  BUCKET_FACTS,
  type BucketDigest,
  bucketOf,
  bucketsOf,
  factsOf,
  tenantRoot,
} from '#projectors/attestation/tree.ts';
import { skipsIn } from '#projectors/rebuild/skips.ts';
import type { SpanDigested } from '#schemas/attestations.ts';
import { type Seq, streamName, type TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import type { StreamStore } from '#streams/stream.ts';
import { readGate } from '../tenancy/write-gate.ts';
import type { AttestationAuthor } from './record.ts';

export interface BackfillProgress {
  readonly phase: 'digesting' | 'comparing';
  /** Facts gone through, of `total`, in both phases together. */
  readonly done: number;
  readonly total: number;
}

export interface BackfillOptions {
  readonly store: Pick<StreamStore, 'append' | 'find' | 'head' | 'read' | 'readStream'>;
  readonly tenant: TenantId;
  readonly mapping: Mapping;
  readonly left: AttestedStore;
  readonly right: AttestedStore;
  readonly author: AttestationAuthor;
  readonly signal: AbortSignal;
  /** Facts a second at most; as fast as it goes unless told. */
  readonly factsPerSecond?: number | undefined;
  /** Facts of a span; 65,536 unless told. */
  readonly spanFacts?: number;
  readonly onProgress?: (progress: BackfillProgress) => void;
}

export interface WrongStore {
  readonly store: string;
  readonly fromSeq: number;
  readonly toSeq: number;
  /** `left` is what the ledger says, `right` what the store holds. */
  readonly differences: readonly Difference[];
}

export type Backfilled =
  | { readonly kind: 'recorded' | 'repeated'; readonly toSeq: number; readonly operations: number }
  | { readonly kind: 'divergent'; readonly toSeq: number; readonly wrong: readonly WrongStore[] }
  /** One of the stores has not begun, or is being filled anew. */
  | { readonly kind: 'lag'; readonly places: readonly [number, number] }
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'interrupted' };

type Span = SpanDigested['data'];

interface Filling extends BackfillOptions {
  readonly asOf: number;
  readonly opId: string;
  readonly pace: (facts: number, phase: BackfillProgress['phase']) => Promise<void>;
}

const SPAN_FACTS = 65_536;
/** Facts whose elements are asked of a store at once: whole buckets. */
const READ_FACTS = 64 * BUCKET_FACTS;
const NAMED_MAX = 100;

/** Throws `StreamError`, `CommandError`, `ForeignLog`, and what a fold throws. */
export const backfill = async (options: BackfillOptions): Promise<Backfilled> => {
  const { tenant, mapping, left, right, author } = options;
  const [at, other] = await Promise.all([left.position(tenant), right.position(tenant)]);
  const places = [at?.seq ?? 0, other?.seq ?? 0] as const;
  if (at && other && at.seq === other.seq && at.hash !== other.hash) throw new ForeignLog(tenant, at.seq);
  const asOf = Math.min(...places);
  if (asOf === 0) return { kind: 'lag', places };
  const { spans } = await onRecord(options);
  const digestedTo = spans.at(-1)?.to_seq ?? 0;
  const filling: Filling = {
    ...options,
    asOf,
    opId: `backfill ${mapping.route} ${asOf} ${author.at}`,
    pace: pacer(options, Math.max(asOf - digestedTo, 0) + asOf),
  };
  const digested = await digest(filling, digestedTo);
  if (digested) return digested;
  const { spans: all } = await onRecord(options);
  const wrong: WrongStore[] = [];
  for (const span of all.filter(({ from_seq }) => from_seq <= asOf)) {
    if (options.signal.aborted) return { kind: 'interrupted' };
    wrong.push(...(await compare(filling, span)));
  }
  wrong.push(...(await strays(filling)));
  // A rebuild takes the checkpoint away before the elements: what was read meanwhile says nothing.
  const after = await Promise.all([left.position(tenant), right.position(tenant)]);
  if (after.some((position) => (position?.seq ?? 0) < asOf))
    return { kind: 'lag', places: [after[0]?.seq ?? 0, after[1]?.seq ?? 0] };
  if (wrong.length > 0) return { kind: 'divergent', toSeq: asOf, wrong };
  return await conclude(filling, all);
};

interface OnRecord {
  /** By today's version of the fold, in the order of the chain. */
  readonly spans: readonly Span[];
  /** The last attestation that found a difference; 0 without one. */
  readonly divergentSeq: number;
}

const onRecord = async ({ store, tenant, mapping }: BackfillOptions): Promise<OnRecord> => {
  const spans: Span[] = [];
  let divergentSeq = 0;
  for (const recorded of await store.readStream(tenant, streamName('attestations', mapping.route))) {
    const { type, data } = decodeFact(recorded);
    if (type === 'attestations.AttestationRecorded' && data.verdict === 'divergent')
      divergentSeq = recorded.seq;
    if (type === 'attestations.SpanDigested' && data.fold_version === mapping.graph.version) spans.push(data);
  }
  return { spans, divergentSeq };
};

/** Keeps to the rate, and tells how far it is. */
const pacer = ({ factsPerSecond, signal, onProgress }: BackfillOptions, total: number): Filling['pace'] => {
  const startedAt = performance.now();
  let done = 0;
  return async (facts, phase) => {
    done += facts;
    onProgress?.({ phase, done, total });
    if (factsPerSecond === undefined) return;
    const early = (done * 1_000) / factsPerSecond - (performance.now() - startedAt);
    if (early > 0) await pause(early, undefined, { signal }).catch(() => undefined);
  };
};

/** What both read models pass over, by a decision in the chain, neither must hold. */
const expected = async ({ store, tenant, mapping }: BackfillOptions): Promise<ExpectedElements> => {
  const skips = skipsIn(store);
  const byTables = await skips(mapping.table.name, tenant);
  const byGraph = await skips(mapping.graph.name, tenant);
  return expectedElements({
    mapping,
    decode: decodeFact,
    skipped: new Set([...byTables].filter((place) => byGraph.has(place))),
  });
};

const say = (
  { store, tenant, author: { actor, at }, opId }: Filling,
  command: AttestationCommand,
  key: string,
): Promise<Outcome> =>
  runCommand({ store, decider: attestations }, command, { tenant, actor, at, opId, key });

/** Puts on record what the ledger says after `digestedTo`. Nothing to say of it, unless it could not. */
const digest = async (filling: Filling, digestedTo: number): Promise<Backfilled | undefined> => {
  const { store, tenant, mapping, asOf, spanFacts = SPAN_FACTS, pace, signal } = filling;
  if (digestedTo >= asOf) return undefined;
  const fold = await expected(filling);
  // Facts of spans that are on record are folded again: an element belongs to the first fact that names it.
  if (digestedTo > 0) for await (const page of store.read(tenant, { to: digestedTo as Seq })) fold.take(page);
  for (let fromSeq = digestedTo + 1; fromSeq <= asOf; fromSeq += spanFacts) {
    const toSeq = Math.min(fromSeq + spanFacts - 1, asOf);
    const before = fold.operations();
    const elements: Pick<CanonicalElement, 'seq' | 'digest'>[] = [];
    for await (const page of store.read(tenant, { from: fromSeq as Seq, to: toSeq as Seq })) {
      if (signal.aborted) return { kind: 'interrupted' };
      for (const { seq, digest: of } of fold.take(page)) elements.push({ seq, digest: of });
      await pace(page.length, 'digesting');
    }
    const outcome = await say(
      filling,
      {
        type: 'RecordSpanDigest',
        route: mapping.route,
        foldVersion: mapping.graph.version,
        fromSeq,
        toSeq,
        operations: fold.operations() - before,
        elements: elements.length,
        root: tenantRoot(bucketsOf(elements)),
      },
      `digest ${mapping.route} ${mapping.graph.version} ${fromSeq}`,
    );
    if (outcome.kind !== 'recorded' && outcome.kind !== 'repeated') return notTaken(outcome);
  }
  return undefined;
};

const notTaken = (outcome: Outcome): Backfilled => ({
  kind: 'refused',
  message:
    outcome.kind === 'refused'
      ? outcome.refusal.message
      : outcome.kind === 'id-taken'
        ? 'another backfill of this route is under way; wait for its end and run this one again'
        : `it is not taken: ${outcome.kind}`,
});

/** Both stores against one span, as far as they have come. */
const compare = async (filling: Filling, span: Span): Promise<readonly WrongStore[]> => {
  const { tenant, asOf, pace } = filling;
  const { from_seq: fromSeq, root } = span;
  // A span that goes beyond the stores is another run's, which was further: its digest says nothing of a part of it.
  const toSeq = Math.min(span.to_seq, asOf);
  const sides = [filling.left, filling.right].map((store) => ({
    store,
    buckets: new Map<number, BucketDigest>(),
  }));
  for (let from = fromSeq; from <= toSeq; ) {
    const to = Math.min(factsOf(bucketOf(from) + READ_FACTS / BUCKET_FACTS - 1).to, toSeq);
    for (const { store, buckets } of sides)
      for (const [bucket, each] of bucketsOf(await store.range(tenant, from as Seq, to as Seq)))
        buckets.set(bucket, each);
    await pace(to - from + 1, 'comparing');
    from = to + 1;
  }
  const wanted =
    toSeq === span.to_seq ? root : tenantRoot(bucketsOf(await elementsOf(filling, fromSeq, toSeq)));
  const apart = sides.filter(({ buckets }) => tenantRoot(buckets) !== wanted);
  if (apart.length === 0) return [];
  const should = await elementsOf(filling, fromSeq, toSeq);
  const found: WrongStore[] = [];
  for (const { store } of apart) {
    const holds = await store.range(tenant, fromSeq as Seq, toSeq as Seq);
    const each = differences(should, holds).slice(0, NAMED_MAX);
    if (each.length > 0) found.push({ store: store.name, fromSeq, toSeq, differences: each });
  }
  return found;
};

/** What the ledger says that these facts bring in. */
const elementsOf = async (
  filling: Filling,
  fromSeq: number,
  toSeq: number,
): Promise<readonly CanonicalElement[]> => {
  const fold = await expected(filling);
  const found: CanonicalElement[] = [];
  for await (const page of filling.store.read(filling.tenant, { to: toSeq as Seq })) {
    const elements = fold.take(page);
    for (const element of elements) if ((element.seq ?? 0) >= fromSeq) found.push(element);
  }
  return found;
};

/** Elements that no fact can have brought in, which no span holds. */
const strays = async ({ store, tenant, right, asOf }: Filling): Promise<readonly WrongStore[]> => {
  const head = async (): Promise<number> => (await store.head(tenant))?.seq ?? 0;
  const found = await strayElements({ tenant, right, head }, asOf);
  if (found.length === 0) return [];
  return [
    { store: right.name, fromSeq: 0, toSeq: 0, differences: differences([], found).slice(0, NAMED_MAX) },
  ];
};

/** On record once for each state of affairs: another one begins with a new difference, or with a move of the gate. */
const conclude = async (filling: Filling, spans: readonly Span[]): Promise<Backfilled> => {
  const { store, tenant, mapping, asOf } = filling;
  const { route } = mapping;
  const { divergentSeq } = await onRecord(filling);
  const { revision } = await readGate(store, tenant, route);
  const key = `backfilled ${route} ${revision} ${divergentSeq}`;
  const first = await store.find(tenant, claimId(tenant, key));
  if (first) {
    const { type, data } = decodeFact(first);
    if (type === 'attestations.BackfillCompleted')
      return { kind: 'repeated', toSeq: data.to_seq, operations: data.operations };
  }
  const operations = spans.reduce((sum, span) => sum + span.operations, 0);
  const outcome = await say(filling, { type: 'RecordBackfill', route, toSeq: asOf, operations }, key);
  return outcome.kind === 'recorded' || outcome.kind === 'repeated'
    ? { kind: outcome.kind, toSeq: asOf, operations }
    : notTaken(outcome);
};
