// Tables and graph compared by a service, without end: what is new at every look, and all that is old in turn, so that
// everything is read anew once in a cycle. What it finds goes on record; that a store is away or behind does not.
import { hash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { attestationAwaited } from '#gateway/attestation/awaited.ts';
import { attestationCoverage } from '#gateway/attestation/coverage.ts';
import { recordAttestation } from '#gateway/attestation/record.ts';
import type { Figure } from '#gateway/http/metrics.ts';
import { routeTable } from '#gateway/http/routes.ts';
import { type Attested, attest, noTrees, type Trees } from '#projectors/attestation/attest.ts';
import { catalog, type Mapping } from '#projectors/attestation/catalog.ts';
import { bucketOf } from '#projectors/attestation/tree.ts';
import { attestedGraph } from '#projectors/neo4j/attested.ts';
import type { Graph } from '#projectors/neo4j/connect.ts';
import { attestedTables } from '#projectors/postgres/attested.ts';
import type { Instant, TenantId } from '#schemas/ids.ts';
import { domains } from '#schemas/index.ts';
import { errorFields, type Log } from '../../telemetry/logs.ts';
import { OTHER } from '../../telemetry/top-tenants.ts';
import type { WiredLedger } from '../ledger/wire.ts';

export interface AttestKeeper extends AsyncDisposable {
  readonly figures: readonly Figure[];
}

export interface KeepAttestedOptions {
  readonly ledger: WiredLedger;
  readonly graph: Graph;
  readonly log: Log;
  /** In which everything is read once. */
  readonly cycleMs: number;
  /** Tenants that the figures name; 20 unless told. */
  readonly namesMax?: number;
}

/** Between two reads, for appends and whoever else waits; less where half of the time of a look would go by with it. */
const REST_MS_MAX = 20;
/** Looks in one cycle. */
const LOOKS = 4;
/** Clean attestations that go on record after one that was not, and at the start. */
const CLEAN_RECORDED = 2;

/** Nobody can tell from a silent chain whether anything was compared at all: the coverage report wants to know of a day. */
const SIGN_OF_LIFE_MS = 6 * 3_600_000;

interface Watched {
  readonly tenant: TenantId;
  readonly mapping: Mapping;
  readonly trees: Trees;
  divergent: number;
  /** By the steady clock, milliseconds: when it was known, and then whenever it was compared. */
  comparedAt: number;
  /** Clean ones in a row that are on record. */
  clean: number;
  /** What the last one on record found to differ. */
  recorded: string;
  /** By the clock of this process; milliseconds. */
  recordedAt: number;
}

export const keepAttested = ({
  ledger,
  graph,
  log,
  cycleMs,
  namesMax = 20,
}: KeepAttestedOptions): AttestKeeper => {
  const ending = new AbortController();
  const watched = new Map<string, Watched>();
  const figures = figuresOf(watched, namesMax);
  const looking = (async () => {
    while (!ending.signal.aborted) {
      await look({ ledger, log, graph, watched, cycleMs, signal: ending.signal }).catch((error: unknown) =>
        log('debug', 'tables and graph are not compared now', errorFields(error)),
      );
      await pause(cycleMs / LOOKS, undefined, { signal: ending.signal }).catch(() => undefined);
    }
  })();
  return {
    figures,
    [Symbol.asyncDispose]: async () => {
      ending.abort();
      await looking;
    },
  };
};

/** Tenants by name: those that differ first, then the first known; what the others come to is `other`. */
const named = (watched: ReadonlyMap<string, Watched>, namesMax: number): ReadonlySet<TenantId> =>
  new Set(
    [...watched.values()]
      .sort((a, b) => b.divergent - a.divergent)
      .map(({ tenant }) => tenant)
      .filter((tenant) => tenant !== OTHER)
      .slice(0, namesMax),
  );

const figuresOf = (watched: ReadonlyMap<string, Watched>, namesMax: number): readonly Figure[] => {
  const { percent } = attestationCoverage({ routes: routeTable(), domains, catalog });
  const all = (): readonly Watched[] => [...watched.values()];
  const byRoute = (valueOf: (of: Watched) => number, join: (a: number, b: number) => number) => () => {
    const names = named(watched, namesMax);
    const samples = new Map<string, { readonly labels: { tenant: string; route: string }; value: number }>();
    for (const of of all()) {
      const labels = { tenant: names.has(of.tenant) ? of.tenant : OTHER, route: of.mapping.route };
      const key = JSON.stringify(labels);
      const there = samples.get(key);
      samples.set(key, { labels, value: there ? join(there.value, valueOf(of)) : valueOf(of) });
    }
    return [...samples.values()];
  };
  return [
    {
      name: 'attest_divergence_count',
      help: 'Elements in which tables and graph differed when they were last compared.',
      labels: ['tenant', 'route'],
      read: byRoute(
        ({ divergent }) => divergent,
        (a, b) => a + b,
      ),
    },
    {
      name: 'attest_as_of_seq',
      help: 'The place in the chain at which tables and graph were last compared; of the others: the lowest.',
      labels: ['tenant', 'route'],
      read: byRoute(({ trees }) => trees.asOf, Math.min),
    },
    {
      name: 'attest_age_seconds',
      help: 'Seconds since tables and graph were last compared, whatever was found; of the others: the longest.',
      labels: ['tenant', 'route'],
      read: byRoute(({ comparedAt }) => (performance.now() - comparedAt) / 1_000, Math.max),
    },
    {
      name: 'attest_coverage_pct',
      help: 'Write operations that are attested, of all, cut off.',
      labels: ['tenant'],
      read: () => {
        const names = named(watched, namesMax);
        const labels = new Set(all().map(({ tenant }) => (names.has(tenant) ? tenant : OTHER)));
        return [...labels].map((tenant) => ({ labels: { tenant }, value: percent }));
      },
    },
  ];
};

interface Look extends Pick<KeepAttestedOptions, 'ledger' | 'log' | 'cycleMs'> {
  readonly graph: Graph;
  readonly watched: Map<string, Watched>;
  readonly signal: AbortSignal;
}

const look = async (at: Look): Promise<void> => {
  const pairs = (await at.ledger.store.heads()).flatMap((head) =>
    catalog.map((mapping) => ({ head, mapping })),
  );
  const reads = pairs.reduce((sum, { head: { tenant, seq }, mapping }) => {
    const { trees } = watchedOf(at, tenant, mapping);
    return sum + inTurn(trees) + bucketOf(seq) - bucketOf(trees.asOf) + 1;
  }, 0);
  const restMs = Math.min(REST_MS_MAX, at.cycleMs / LOOKS / 2 / reads);
  for (const { head, mapping } of pairs) {
    if (at.signal.aborted) return;
    const known = watchedOf(at, head.tenant, mapping);
    at.watched.set(keyOf(known), known);
    await compare(at, known, restMs);
  }
};

const keyOf = ({ tenant, mapping }: Pick<Watched, 'tenant' | 'mapping'>): string =>
  `${mapping.route} ${tenant}`;

/** As it is kept, or as it begins. */
const watchedOf = ({ watched }: Look, tenant: TenantId, mapping: Mapping): Watched =>
  watched.get(keyOf({ tenant, mapping })) ?? {
    tenant,
    mapping,
    trees: noTrees(),
    divergent: 0,
    comparedAt: performance.now(),
    clean: 0,
    recorded: '',
    recordedAt: 0,
  };

/** Buckets of a look that are read again. */
const inTurn = ({ left, right }: Trees): number => Math.ceil(Math.max(left.size, right.size) / LOOKS);

const compare = async (
  { ledger, log, graph, signal }: Look,
  known: Watched,
  restMs: number,
): Promise<void> => {
  const { tenant, mapping, trees } = known;
  const { pool, store } = ledger;
  const found = await attest({
    tenant,
    left: attestedTables({ pool, mapping }),
    right: attestedGraph({ graph, projector: mapping.graph }),
    trees,
    again: inTurn(trees),
    head: async () => (await store.head(tenant))?.seq ?? 0,
    rest: () => pause(restMs, undefined, { signal }),
  });
  if (found.verdict === 'lag') return;
  known.comparedAt = performance.now();
  if (found.verdict === 'divergent' && known.divergent !== found.differences.length)
    log('error', 'tables and graph differ', {
      tenant,
      route: mapping.route,
      asOf: found.asOf,
      differences: found.differences.length,
    });
  if (!(await worthRecording(known, found, store))) return;
  const at = Date.now() as Instant;
  const recorded = await recordAttestation(
    store,
    { route: mapping.route, attested: found },
    { actor: 'prov-ledger', at },
  );
  if (recorded.kind !== 'recorded') return;
  known.recorded = fingerprint(found);
  known.recordedAt = at;
  known.clean = found.verdict === 'clean' ? known.clean + 1 : 0;
};

/** What is new, the first clean ones after a difference, and whatever the drift saga waits for: a quiet ledger stays quiet. */
const worthRecording = async (
  known: Watched,
  found: Attested,
  store: WiredLedger['store'],
): Promise<boolean> => {
  known.divergent = found.differences.length;
  if (found.verdict === 'clean' ? known.clean < CLEAN_RECORDED : known.recorded !== fingerprint(found))
    return true;
  if (Date.now() - known.recordedAt >= SIGN_OF_LIFE_MS) return true;
  return await attestationAwaited(store, known.mapping.route, found);
};

/** Of what differs; empty where nothing does. */
const fingerprint = ({ differences }: Attested): string =>
  differences.length === 0 ? '' : hash('sha256', JSON.stringify(differences));
