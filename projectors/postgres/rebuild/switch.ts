// The switch: one transaction after which the view shows another build. Steps of the build in use end before it or find
// themselves overtaken; the facts that they took last are folded into the new build in the same transaction. So readers
// see, by their own snapshots, all of the one or all of the other, and never an older state than before.
import { sharedBatch } from '#projectors/advance.ts';
import type { AnyProjector } from '#projectors/batch.ts';
import { RebuildError } from '#projectors/rebuild/errors.ts';
import type { AtPoint } from '#projectors/rebuild/points.ts';
import { beginning, type Checkpoint, positionOf } from '#projectors/sink.ts';
import type { Fact, Recorded } from '#schemas/event.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import {
  type Client,
  isConnectionFailure,
  type Pool,
  sqlState,
  transaction,
} from '#streams/postgres/connect.ts';
import type { StreamStore } from '#streams/stream.ts';
import { readCheckpoints } from '../checkpoints.ts';
import { takeSteps } from '../sink.ts';
import { statementsOf } from '../statements.ts';
import { type HeldBuild, holdEpoch } from './fill.ts';

export interface SwitchOptions {
  readonly pool: Pool;
  readonly store: Pick<StreamStore, 'read'>;
  readonly projector: AnyProjector;
  /** What is switched to. */
  readonly build: HeldBuild;
  readonly decode: (recorded: Recorded) => Fact;
  readonly at: AtPoint;
  /** Facts that are folded within the transaction at most; 5,000 unless told. */
  readonly mostFacts?: number | undefined;
}

/** What the view showed before. */
export interface Shown {
  readonly version: number;
  readonly build: number;
}

/** `behind`: too many facts are missing to fold them while the build in use waits. Nothing was changed. */
export type Switched = { readonly kind: 'switched'; readonly replaced: Shown } | { readonly kind: 'behind' };

const MOST_FACTS = 5_000;

class Behind extends Error {}

/** Throws `RebuildError`: `lost-lease`, `halted`. */
export const switchBuild = async (options: SwitchOptions): Promise<Switched> => {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const replaced = await transaction(options.pool, (client) => makeSwitch(client, options));
      await options.at('switched');
      return { kind: 'switched', replaced };
    } catch (error) {
      if (error instanceof Behind) return { kind: 'behind' };
      // 40P01: the locks were taken in another order by somebody's step, and this transaction gave way.
      if (sqlState(error) !== '40P01' || attempt === 5) throw error;
    }
  }
};

const makeSwitch = async (client: Client, options: SwitchOptions): Promise<Shown> => {
  const { projector, build, at } = options;
  const { name, version } = projector;
  await holdEpoch(client, projector, build);
  const shown = await lockShown(client, name);
  const before = await liveOf(client, projector);
  const live = await lockLive(client, name, [shown, { version, build: before }]);
  await at('switch-locked');
  const standing = live.get(key(shown)) ?? [];
  await level(client, options, standing);
  await client.query('SET LOCAL synchronous_commit = on');
  await at('switch-level');
  await client.query(
    'UPDATE projections.read_models SET shown = false WHERE projection = $1 AND version <> $2 AND shown',
    [name, version],
  );
  await client.query(
    'UPDATE projections.read_models SET shown = true, live_build = $3 WHERE projection = $1 AND version = $2',
    [name, version, build.build],
  );
  // Of this version only: the build of another version stays in use for programs that have that version.
  await client.query(
    `UPDATE projections.builds SET state = 'kept', epoch = epoch + 1 WHERE projection = $1 AND version = $2 AND build = $3`,
    [name, version, before],
  );
  await client.query(
    `UPDATE projections.checkpoints SET epoch = epoch + 1 WHERE projection = $1 AND version = $2 AND build = $3`,
    [name, version, before],
  );
  await client.query(
    `UPDATE projections.builds SET state = 'live', live_at = now(), lease_until = NULL, lease_owner = NULL, epoch = epoch + 1,
       replaced_version = $4, replaced_build = $5 WHERE projection = $1 AND version = $2 AND build = $3`,
    [name, version, build.build, shown.version, shown.build],
  );
  await client.query(
    `UPDATE projections.checkpoints SET epoch = $4 WHERE projection = $1 AND version = $2 AND build = $3`,
    [name, version, build.build, build.epoch + 1],
  );
  await at('switch-made');
  return shown;
};

const key = ({ version, build }: Shown): string => `${version}/${build}`;

const lockShown = async (client: Client, name: string): Promise<Shown> => {
  const { rows } = await client.query<Shown & { readonly shown: boolean }>(
    'SELECT version, live_build AS build, shown FROM projections.read_models WHERE projection = $1 ORDER BY version FOR UPDATE',
    [name],
  );
  const shown = rows.find((row) => row.shown);
  if (!shown)
    throw new RebuildError('nothing-there', `no version of ${name} is shown: run \`prov-ledger migrate\``);
  return { version: shown.version, build: shown.build };
};

const liveOf = async (client: Client, { name, version }: AnyProjector): Promise<number> =>
  (
    await client.query<{ live_build: number }>(
      'SELECT live_build FROM projections.read_models WHERE projection = $1 AND version = $2',
      [name, version],
    )
  ).rows[0]?.live_build ?? 0;

/** Waits for the steps under way and lets no other begin; answers where each build stands. */
const lockLive = async (
  client: Client,
  name: string,
  builds: readonly Shown[],
): Promise<ReadonlyMap<string, readonly Checkpoint[]>> => {
  const found = new Map<string, readonly Checkpoint[]>();
  for (const { version, build } of builds) {
    if (found.has(key({ version, build }))) continue;
    await client.query(
      'SELECT FROM projections.builds WHERE projection = $1 AND version = $2 AND build = $3 FOR UPDATE',
      [name, version, build],
    );
    await client.query(
      'SELECT FROM projections.checkpoints WHERE projection = $1 AND version = $2 AND build = $3 ORDER BY tenant FOR NO KEY UPDATE',
      [name, version, build],
    );
    found.set(
      key({ version, build }),
      await readCheckpoints(client, { name, version }, { build }, undefined),
    );
  }
  return found;
};

/** Brings the new build to where the one in use stands. Throws `Behind`; `RebuildError`: `halted`. */
const level = async (
  client: Client,
  { store, projector, build, decode, mostFacts = MOST_FACTS }: SwitchOptions,
  standing: readonly Checkpoint[],
): Promise<void> => {
  const own = new Map(
    (await readCheckpoints(client, projector, build, undefined)).map((each) => [each.tenant, each]),
  );
  const missing = standing.flatMap(({ tenant, seq }) => {
    const from = own.get(tenant) ?? beginning(tenant);
    return seq > from.seq ? [{ tenant, from, to: seq }] : [];
  });
  for (const { tenant, from } of missing)
    if (from.fault)
      throw new RebuildError(
        'halted',
        `the rebuilt ${projector.name} of ${tenant} halts at fact ${from.fault.seq}, which the one in use has taken: ${from.fault.message}`,
      );
  if (missing.reduce((sum, { from, to }) => sum + to - from.seq, 0) > mostFacts) throw new Behind();
  const applying = { projector, statements: statementsOf(projector, build.build), build };
  for (const { tenant, from, to } of missing) {
    const recorded = await factsBetween(store, tenant, { from: (from.seq + 1) as Seq, to });
    const facts: Fact[] = [];
    const batch = sharedBatch(tenant, recorded, decode);
    for (const [index, { type }] of recorded.entries()) {
      if (!projector.handles.includes(type)) continue;
      const fact = batch.decoded(index);
      if (fact instanceof Error) throw new Behind();
      facts.push(fact);
    }
    const step = { tenant, from, to: positionOf(recorded.at(-1) as Recorded), facts };
    const [taken] = await takeSteps(client, applying, [step]).catch(behindIfRefused);
    if (!taken) throw new Behind();
  }
};

/** A fact that is refused here is left to the live runner, which parks it, or passes over it where that was decided. */
const behindIfRefused = (error: unknown): never => {
  const state = sqlState(error) ?? '';
  throw /^(?:40|57|08)/.test(state) || isConnectionFailure(error) ? error : new Behind();
};

const factsBetween = async (
  store: Pick<StreamStore, 'read'>,
  tenant: TenantId,
  range: { readonly from: Seq; readonly to: Seq },
): Promise<readonly Recorded[]> => {
  const facts: Recorded[] = [];
  for await (const page of store.read(tenant, range)) facts.push(...page);
  return facts;
};
