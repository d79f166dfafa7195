// Back to what a rebuild replaced. Its rows were kept, and nobody has folded into them since: where the same source made
// them they are brought to where the build in use stands before the view shows them again; otherwise they are shown as
// they are, and the answer says so.
import type { AnyProjector } from '#projectors/batch.ts';
import { RebuildError } from '#projectors/rebuild/errors.ts';
import { runProjectors } from '#projectors/run.ts';
import type { Fact, Recorded } from '#schemas/event.ts';
import { decodeFact } from '#schemas/index.ts';
import { type Client, type Pool, transaction } from '#streams/postgres/connect.ts';
import type { StreamFeed, StreamStore } from '#streams/stream.ts';
import type { BuildRef } from '../builds.ts';
import { postgresRowSink, type Skips } from '../sink.ts';
import { PROJECTORS_FOLDER, sourceDigest } from '../source.ts';
import { type Shown, switchBuild } from './switch.ts';

export interface RollbackOptions {
  readonly pool: Pool;
  readonly store: Pick<StreamStore, 'read'>;
  readonly feed: StreamFeed;
  readonly projector: AnyProjector;
  readonly folder?: URL | undefined;
  readonly skips: Skips;
  readonly decode?: ((recorded: Recorded) => Fact) | undefined;
  readonly signal: AbortSignal;
}

export interface RolledBack {
  readonly from: Shown;
  readonly to: Shown;
  /** False when the rows are shown as they were left: another source made them, or they are of another version. */
  readonly current: boolean;
}

interface Replaced {
  readonly version: number;
  readonly build: number;
  readonly replaced_version: number | null;
  readonly replaced_build: number | null;
  readonly source_digest: string | null;
}

const ROUNDS = 20;

/** Throws `RebuildError`: `nothing-there`, `never-level`, `halted`; `StreamError`. */
export const rollback = async (options: RollbackOptions): Promise<RolledBack> => {
  const { pool, projector, folder = PROJECTORS_FOLDER } = options;
  const { from, to, digest } = await replacedBuild(pool, projector.name);
  const same = to.version === projector.version && from.version === projector.version;
  if (same && digest === (await sourceDigest(projector, folder))) {
    await backTo(options, to.build);
    return { from, to, current: true };
  }
  await transaction(pool, (client) => showAsItIs(client, projector.name, { from, to }));
  return { from, to, current: false };
};

const replacedBuild = async (
  pool: Pool,
  name: string,
): Promise<{ readonly from: Shown; readonly to: Shown; readonly digest: string | null }> => {
  const { rows } = await pool.query<Replaced>(
    `SELECT b.version, b.build, b.replaced_version, b.replaced_build, o.source_digest
     FROM projections.read_models m
     JOIN projections.builds b ON b.projection = m.projection AND b.version = m.version AND b.build = m.live_build
     JOIN projections.builds o ON o.projection = b.projection AND o.version = b.replaced_version AND o.build = b.replaced_build
     WHERE m.projection = $1 AND m.shown`,
    [name],
  );
  const [row] = rows;
  if (!row || row.replaced_version === null || row.replaced_build === null)
    throw new RebuildError(
      'nothing-there',
      `there is nothing to go back to: ${name} was not rebuilt, or what was replaced has been dropped`,
    );
  return {
    from: { version: row.version, build: row.build },
    to: { version: row.replaced_version, build: row.replaced_build },
    digest: row.source_digest,
  };
};

/** The kept build gets an epoch of its own, catches up as a rebuild does, and takes the other's place. */
const backTo = async (options: RollbackOptions, build: number): Promise<void> => {
  const { pool, feed, projector, skips, signal, decode = decodeFact } = options;
  const ref = await transaction(pool, (client) => nextEpoch(client, projector, build));
  for (let round = 1; round <= ROUNDS; round += 1) {
    await runProjectors({
      feed,
      sink: postgresRowSink({ pool, target: ref, skips }),
      projectors: [projector],
      decode,
      signal,
      untilCaughtUp: true,
    });
    if (signal.aborted)
      throw new RebuildError(
        'interrupted',
        `the rollback of ${projector.name} was ended; nothing was switched`,
      );
    const switched = await switchBuild({ ...options, decode, build: ref, at: () => undefined });
    if (switched.kind === 'switched') return;
  }
  throw new RebuildError(
    'never-level',
    `facts came in faster than they could be folded into the older rows of ${projector.name}: run it again when there is less to do`,
  );
};

const nextEpoch = async (
  client: Client,
  { name, version }: AnyProjector,
  build: number,
): Promise<BuildRef> => {
  const { rows } = await client.query<{ epoch: number }>(
    'UPDATE projections.builds SET epoch = epoch + 1 WHERE projection = $1 AND version = $2 AND build = $3 RETURNING epoch',
    [name, version, build],
  );
  const epoch = rows[0]?.epoch ?? 0;
  await client.query(
    'UPDATE projections.checkpoints SET epoch = $4 WHERE projection = $1 AND version = $2 AND build = $3',
    [name, version, build, epoch],
  );
  return { build, epoch };
};

const showAsItIs = async (
  client: Client,
  name: string,
  { from, to }: { readonly from: Shown; readonly to: Shown },
): Promise<void> => {
  await client.query('UPDATE projections.read_models SET shown = false WHERE projection = $1 AND shown', [
    name,
  ]);
  await client.query(
    'UPDATE projections.read_models SET shown = true, live_build = $3 WHERE projection = $1 AND version = $2',
    [name, to.version, to.build],
  );
  const mark = `UPDATE projections.builds SET state = $4, epoch = epoch + 1, replaced_version = $5, replaced_build = $6 WHERE projection = $1 AND version = $2 AND build = $3`;
  await client.query(mark, [name, to.version, to.build, 'live', from.version, from.build]);
  if (from.version === to.version)
    await client.query(mark, [name, from.version, from.build, 'kept', null, null]);
  for (const each of [to, from])
    await client.query(
      `UPDATE projections.checkpoints c SET epoch = b.epoch FROM projections.builds b
       WHERE c.projection = $1 AND c.version = $2 AND c.build = $3 AND b.projection = $1 AND b.version = $2 AND b.build = $3`,
      [name, each.version, each.build],
    );
};
