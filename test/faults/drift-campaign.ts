// Drift made at many places at once, while the service and Neo4j are killed and stopped: each tenant and route is a lane of
// its own, in which one harm follows another, from the mutation to the path that is open again.
//   harmed -> found and located -> alarm -> path closed, a late writer refused -> undone -> backfill -> two clean ones -> open
// Tenants that nobody harms stand beside them: there may be no alarm for them.
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { backfill } from '#gateway/attestation/backfill.ts';
import { catalog, type Mapping } from '#projectors/attestation/catalog.ts';
import { attestedGraph } from '#projectors/neo4j/attested.ts';
import { attestedTables } from '#projectors/postgres/attested.ts';
import type { Instant, TenantId } from '#schemas/ids.ts';
import { connect, type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { type PostgresStore, postgresStreamStore } from '#streams/postgres/store.ts';
import { type DriftLoop, expectOneWayBack } from './drift-loop.ts';
import { type DriftWatch, type Said, watchDrift } from './drift-watch.ts';
import { type Harm, harmsTo, type Target } from './ledger-drift.ts';
import type { Site } from './site.ts';

export interface Disturbance {
  readonly what: string;
  /** The service itself is gone meanwhile, so that nothing can be closed. */
  readonly stops: boolean;
  readonly run: () => Promise<void>;
}

export interface CampaignOptions {
  readonly site: Site;
  readonly loop: DriftLoop;
  /** Harmed on both routes; the site's other tenants are left alone. */
  readonly harmed: readonly TenantId[];
  readonly mutations: number;
  /** Lanes begin spread over this time. */
  readonly spreadMs: number;
  /** In turn and without end, at least so long after one another. */
  readonly disturbances: readonly Disturbance[];
  readonly disturbEveryMs: number;
  readonly onProgress?: (progress: Progress) => void;
}

export interface Progress {
  readonly begun: number;
  readonly done: number;
  readonly disturbed: number;
}

export interface Round {
  /** From before the mutation to the alarm on record. */
  readonly foundMs: number;
  /** From there to the closing on record. */
  readonly closedMs: number;
  /** The service was killed between the two. */
  readonly acrossKill: boolean;
}

export interface Campaign {
  readonly rounds: readonly Round[];
  /** On record in the whole ledger. */
  readonly alarms: number;
  readonly disturbed: { readonly [what: string]: number };
}

interface Lane {
  readonly target: Target;
  readonly mapping: Mapping;
  readonly harms: readonly Harm[];
}

interface Running extends CampaignOptions {
  readonly pool: Pool;
  readonly store: PostgresStore;
  readonly watch: DriftWatch;
  readonly signal: AbortSignal;
  /** When the service was not there, milliseconds since 1970; the last may still last. */
  readonly gone: { readonly from: number; to: number }[];
}

/** Longer than anything takes on a machine that does other things as well. */
const PATIENCE_MS = 900_000;
const RECEIPTS = 10;
const ACTION = 'db.export';

/** Throws where something is not as it must be. */
export const runCampaign = async (options: CampaignOptions): Promise<Campaign> => {
  const { site, harmed, mutations, spreadMs, onProgress } = options;
  const ending = new AbortController();
  await using opened = new AsyncDisposableStack();
  const pool = connect({ url: site.server.url, role: RUNTIME_ROLE, max: 4, name: 'campaign' });
  opened.defer(() => pool.end());
  const store = opened.use(await postgresStreamStore({ pool, signer: site.keys.signer }));
  const watch = opened.use(watchDrift(store));
  const running: Running = { ...options, pool, store, watch, signal: ending.signal, gone: [] };
  const lanes = await begin(running);
  const rounds: Round[] = [];
  const disturbed = new Map<string, number>();
  let begun = 0;
  const tell = (): void =>
    onProgress?.({
      begun,
      done: rounds.length,
      disturbed: [...disturbed.values()].reduce((a, b) => a + b, 0),
    });
  const drive = async (lane: Lane, at: number): Promise<void> => {
    await pause((spreadMs * at) / lanes.length, undefined, { signal: ending.signal });
    for (let turn = at; begun < mutations; turn += 1) {
      begun += 1;
      tell();
      rounds.push(await wayBack(running, lane, turn));
      tell();
    }
  };
  const disturbing = disturb(running, disturbed);
  try {
    await Promise.race([Promise.all(lanes.map(drive)), disturbing]);
  } finally {
    ending.abort();
    await disturbing;
  }
  const alarms = watch.all().filter(({ type }) => type === 'attestations.DriftAlarmRaised');
  const wrongly = alarms.filter(({ tenant }) => !harmed.includes(tenant));
  expect(wrongly, 'nobody is alarmed who was not harmed').to.deep.equal([]);
  return { rounds, alarms: alarms.length, disturbed: Object.fromEntries(disturbed) };
};

/** Receipts for everybody, attested; and of each lane what is harmed in it. */
const begin = async (running: Running): Promise<readonly Lane[]> => {
  const { site, loop, harmed, store, watch } = running;
  for (const tenant of site.tokens.keys())
    for (let at = 0; at < RECEIPTS; at += 1)
      await until(running, `receipts of ${tenant} are taken`, () => accepted(loop, `r-${at}`, tenant));
  const lanes = harmed.flatMap((tenant) => catalog.map((mapping) => ({ tenant, mapping })));
  for (const { tenant, mapping } of lanes)
    await until(running, `${mapping.route} of ${tenant} is attested`, async () =>
      watch
        .said(tenant, mapping.route)
        .some(({ type, data }) => type === 'attestations.AttestationRecorded' && data.verdict === 'clean'),
    );
  return await Promise.all(
    lanes.map(async ({ tenant, mapping }): Promise<Lane> => {
      if (mapping.route === 'receipts') {
        const target = { tenant, route: 'receipts', id: 'r-0', who: 'alice' } as const;
        return { target, mapping, harms: harmsTo(target, ACTION) };
      }
      for await (const [first] of store.read(tenant, { pageSize: 1 })) {
        const { id, actor: who } = first as Said;
        const target = { tenant, route: 'changes', id, who } as const;
        return { target, mapping, harms: harmsTo(target, who) };
      }
      throw new Error(`${tenant} has no facts`);
    }),
  );
};

const accepted = async (loop: DriftLoop, id: string, tenant: TenantId): Promise<boolean> => {
  const answer = await loop.publish(id, tenant).catch(() => undefined);
  return answer?.status === 200 || answer?.status === 201;
};

const until = async (
  { watch, signal }: Running,
  what: string,
  holds: () => Promise<boolean>,
): Promise<void> => {
  const end = performance.now() + PATIENCE_MS;
  while (!(await holds())) {
    watch.alive();
    signal.throwIfAborted();
    if (performance.now() > end) expect.fail(`never: ${what}`);
    await pause(100);
  }
};

/** While Neo4j is away it is said again. Milliseconds since 1970, before it was said the time that it was heard. */
const harmOrUndo = async (
  running: Running,
  what: string,
  edit: (graph: DriftLoop['graph']) => Promise<unknown>,
): Promise<number> => {
  let at = 0;
  await until(running, `Neo4j takes it: ${what}`, () => {
    at = Date.now();
    return edit(running.loop.graph).then(
      () => true,
      () => false,
    );
  });
  return at;
};

const wayBack = async (running: Running, { target, mapping, harms }: Lane, turn: number): Promise<Round> => {
  const { loop, watch, gone } = running;
  const { tenant, route } = target;
  const harm = harms[turn % harms.length] as Harm;
  const what = `${harm.expected} of ${tenant}`;
  const chain = watch.said(tenant, route);
  const before = chain.length;
  const since = (type: Said['type']): Said | undefined =>
    chain.slice(before).find((each) => each.type === type);
  const moved = async (type: Said['type']): Promise<Said> => {
    await until(running, `${type} after ${what}`, async () => since(type) !== undefined);
    return since(type) as Said;
  };
  const harmedAt = await harmOrUndo(running, what, harm.apply);
  const alarm = await moved('attestations.DriftAlarmRaised');
  const closed = await moved('gates.WritePathRolledBack');
  await moved('attestations.DriftLocated');
  // Facts about the ledger itself pass no gate: the way back is made of them.
  if (route === 'receipts')
    await until(running, `a late writer of ${tenant} is refused`, async () => {
      const answer = await loop.publish(`late-${turn}`, tenant).catch(() => undefined);
      return answer?.type === 'urn:prov-ledger:problem:write-path-closed';
    });
  await harmOrUndo(running, `the end of ${what}`, harm.undo);
  await until(running, `the backfill after ${what}`, () => filled(running, tenant, mapping));
  const opened = await moved('gates.WritePathRestored');
  if (route === 'receipts')
    await until(running, `writers of ${tenant} are heard`, () => accepted(loop, `late-${turn}`, tenant));
  const said = chain.slice(before);
  expectOneWayBack(said.map(lineOf), 0);
  const located = new Set(said.flatMap((each) => (each.seq < opened.seq ? locatedBy(each) : [])));
  expect([...located], `${what}: located there, and nowhere else`).to.deep.equal([harm.expected]);
  return {
    foundMs: alarm.recordedAt - harmedAt,
    closedMs: closed.recordedAt - alarm.recordedAt,
    acrossKill: gone.some(({ from, to }) => from <= closed.recordedAt && to >= alarm.recordedAt),
  };
};

const lineOf = ({ type, data }: Said): string =>
  type === 'attestations.AttestationRecorded' ? `${type} ${data.verdict}` : type;

const locatedBy = ({ type, data }: Said): readonly string[] =>
  type === 'attestations.DriftLocated'
    ? [[data.class, data.element, data.field].filter((part) => part !== undefined).join(' ')]
    : [];

const filled = async (
  { pool, store, loop, signal }: Running,
  tenant: TenantId,
  mapping: Mapping,
): Promise<boolean> => {
  const done = await backfill({
    store,
    tenant,
    mapping,
    left: attestedTables({ pool, mapping }),
    right: attestedGraph({ graph: loop.graph, projector: mapping.graph }),
    author: { actor: 'campaign', at: Date.now() as Instant },
    signal,
  }).catch(() => undefined);
  return done?.kind === 'recorded' || done?.kind === 'repeated';
};

/** Until the campaign is over: with rests of twice the time that the one before took, so that a slow machine comes to work. */
const disturb = async (
  { disturbances, disturbEveryMs, signal, gone }: Running,
  disturbed: Map<string, number>,
): Promise<void> => {
  let restMs = disturbEveryMs;
  for (let turn = 0; !signal.aborted; turn += 1) {
    await pause(restMs, undefined, { signal }).catch(() => undefined);
    const next = disturbances[turn % disturbances.length];
    if (signal.aborted || !next) continue;
    const outage = { from: Date.now(), to: Number.POSITIVE_INFINITY };
    if (next.stops) gone.push(outage);
    await next.run();
    outage.to = Date.now();
    restMs = Math.max(disturbEveryMs, 2 * (outage.to - outage.from));
    disturbed.set(next.what, (disturbed.get(next.what) ?? 0) + 1);
  }
};
