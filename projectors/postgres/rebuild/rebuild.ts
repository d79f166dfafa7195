// A rebuild, blue/green:
//   claim the read model · fill a fresh table from the whole history · index it · compare the digest of what is in it
//   with that of an independent replay · record in the ledger that they are the same · fold what was recorded meanwhile ·
//   switch in one transaction
// The build in use is kept by whoever keeps it until the switch, and stays afterwards, for a rollback. A rebuild that
// dies leaves a build that the next one goes on with; nobody reads it.
import { setTimeout as pause } from 'node:timers/promises';
import type { AnyProjector } from '#projectors/batch.ts';
import { RebuildError } from '#projectors/rebuild/errors.ts';
import type { AtPoint } from '#projectors/rebuild/points.ts';
import { runProjectors } from '#projectors/run.ts';
import type { Checkpoint } from '#projectors/sink.ts';
import type { Fact, Recorded } from '#schemas/event.ts';
import type { TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import { StreamError } from '#streams/errors.ts';
import { streamError, withClient } from '#streams/postgres/connect.ts';
import { readHeads } from '#streams/postgres/reader.ts';
import type { StreamFeed, StreamStore } from '#streams/stream.ts';
import { readCheckpoints } from '../checkpoints.ts';
import { attachToGate } from '../isolation.ts';
import { asOwner } from '../owner.ts';
import { readModelDdl } from '../read-models.ts';
import { postgresRowSink, type Skips } from '../sink.ts';
import { PROJECTORS_FOLDER, sourceDigest } from '../source.ts';
import { tableOf } from '../statements.ts';
import { type Claim, type ClaimOptions, claimRebuild, endLease, lostLease, stillUnderWay } from './claim.ts';
import { fillBuild, holdEpoch, Unfit, unfitIf } from './fill.ts';
import { type Proofs, proveTenants, readTableDigests, type TenantProof } from './prove.ts';
import { swapTenant } from './swap.ts';
import { type Shown, switchBuild } from './switch.ts';

export type Phase = 'filling' | 'indexing' | 'proving' | 'recording' | 'catching up' | 'switching';

export interface RebuildProgress {
  readonly phase: Phase;
  /** Facts gone through in this phase, of so many. */
  readonly facts: number;
  readonly total: number;
}

/** That a build is equal to an independent replay: what goes into the ledger before the switch. */
export interface RebuildProved {
  readonly projection: string;
  readonly version: number;
  readonly build: number;
  readonly sourceDigest: string;
  readonly proofs: readonly TenantProof[];
}

export interface RebuildOptions extends Omit<ClaimOptions, 'digest'> {
  readonly store: Pick<StreamStore, 'read'>;
  readonly feed: StreamFeed;
  /** Records the proofs in the ledger, each in its tenant's chain; the switch waits for it. */
  readonly attest: (proved: RebuildProved) => Promise<void>;
  /** None unless told. */
  readonly skips?: Skips | undefined;
  readonly decode?: ((recorded: Recorded) => Fact) | undefined;
  /** Ends the rebuild; what it did is kept. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: RebuildProgress) => void) | undefined;
  readonly at?: AtPoint | undefined;
  readonly maxRows?: number | undefined;
}

export interface Rebuilt {
  readonly projection: string;
  readonly version: number;
  readonly build: number;
  readonly resumed: boolean;
  readonly facts: number;
  readonly rows: number;
  readonly tenants: number;
  readonly seconds: number;
  /** What the view showed before; with a tenant: what its rows changed places with. */
  readonly replaced: Shown;
  readonly proofs: readonly TenantProof[];
}

/** What every part of one rebuild knows. */
export interface Work extends Omit<RebuildOptions, 'signal' | 'onProgress'> {
  readonly digest: string;
  readonly folder: URL;
  readonly claim: Claim;
  readonly decode: (recorded: Recorded) => Fact;
  readonly skips: Skips;
  readonly signal: AbortSignal;
  readonly at: AtPoint;
  readonly table: string;
  readonly progress: (phase: Phase, facts: number, total: number) => void;
}

const RETRY_MS = 500;
const RETRIES = 60;

/**
 * Throws `RebuildError`, `StreamError`. A server that goes away for up to half a minute is waited for, and the rebuild
 * goes on with what it had done.
 */
export const rebuild = async (options: RebuildOptions): Promise<Rebuilt> => {
  const { projector, folder = PROJECTORS_FOLDER } = options;
  const digest = await sourceDigest(projector, folder);
  const startedAt = performance.now();
  let begun: number | undefined;
  const onClaim = (build: number): void => {
    begun = build;
  };
  for (let attempt = 1; ; attempt += 1) {
    try {
      if (begun !== undefined) await stillUnderWay(options, begun);
      const rebuilt = await rebuildOnce({ ...options, folder, digest, onClaim });
      return { ...rebuilt, seconds: (performance.now() - startedAt) / 1000 };
    } catch (error) {
      if (error instanceof RebuildError || error instanceof Unfit) throw error;
      const failure = streamError(error);
      if (failure.code !== 'unavailable' || attempt === RETRIES || options.signal?.aborted) throw failure;
      await pause(RETRY_MS, undefined, options.signal && { signal: options.signal }).catch(() => undefined);
    }
  }
};

interface OneTry extends RebuildOptions {
  readonly folder: URL;
  readonly digest: string;
  readonly onClaim: (build: number) => void;
}

const rebuildOnce = async (options: OneTry): Promise<Omit<Rebuilt, 'seconds'>> => {
  const { pool, projector, decode = decodeFact, at = () => undefined, onProgress } = options;
  await using claim = await claimRebuild(options);
  options.onClaim(claim.build);
  const ending = options.signal ? [options.signal, claim.lost] : [claim.lost];
  const work: Work = {
    ...options,
    claim,
    decode,
    at,
    skips: options.skips ?? (async () => new Set()),
    signal: AbortSignal.any(ending),
    table: tableOf(projector, claim.build),
    progress: (phase, facts, total) => onProgress?.({ phase, facts, total }),
  };
  await at('claimed');
  try {
    const proofs = claim.state === 'proved' ? [] : await makeAndProve(work);
    work.progress('catching up', 0, 1);
    const replaced = await (options.tenant === undefined ? switchOver(work) : swapOver(work, options.tenant));
    await at('released');
    return {
      projection: projector.name,
      version: projector.version,
      build: claim.build,
      resumed: claim.resumed,
      facts: proofs.reduce((sum, { seq }) => sum + seq, 0),
      rows: proofs.reduce((sum, { rows }) => sum + rows, 0),
      tenants: proofs.length,
      replaced,
      proofs,
    };
  } catch (error) {
    // The next rebuild need not wait for the lease of this one.
    await endLease(pool, projector, claim).catch(() => undefined);
    throw claim.lost.aborted && !(error instanceof RebuildError) ? lostLease(projector) : error;
  }
};

/** Everything up to the moment when the build may be switched to. */
const makeAndProve = async (work: Work): Promise<readonly TenantProof[]> => {
  const { pool, projector, claim, at } = work;
  await fillAndIndex(work);
  stopIfTold(work);
  const checkpoints = await ownCheckpoints(work);
  work.progress('proving', 0, 1);
  const found = await readTableDigests(pool, projector, work.table);
  await at('digested');
  const total = checkpoints.reduce((sum, { seq }) => sum + seq, 0);
  let facts = 0;
  const onFacts = (count: number): void => {
    facts += count;
    work.progress('proving', facts, total);
  };
  const proofs = await proveTenants({ ...work, checkpoints, onFacts }, found);
  stopIfTold(work);
  expectEqual(projector, proofs);
  await at('replayed');
  work.progress('recording', 0, proofs.equal.length);
  const { name: projection, version } = projector;
  await work.attest({
    projection,
    version,
    build: claim.build,
    sourceDigest: work.digest,
    proofs: proofs.equal,
  });
  await at('attested');
  await asOwner(pool, async (client) => {
    await holdEpoch(client, projector, claim);
    // Only now: behind the gate every reader of the view holds the table, and an index could not be made.
    if (work.tenant === undefined) await attachToGate(client, projector, claim.build);
    await client.query(
      `UPDATE projections.builds SET state = 'proved', proved_at = now() WHERE projection = $1 AND version = $2 AND build = $3`,
      [projection, version, claim.build],
    );
  });
  await at('proved');
  return proofs.equal;
};

const expectEqual = ({ name }: AnyProjector, { unequal }: Proofs): void => {
  const [first] = unequal;
  if (first)
    throw new RebuildError(
      'not-equal',
      `the rebuilt ${name} is not what the history says: ${first.tenant} as of fact ${first.seq}: ${first.message}; nothing was switched; keep the table for whoever looks into it`,
    );
};

export const stopIfTold = ({ signal, claim, projector }: Work): void => {
  if (claim.lost.aborted) throw lostLease(projector);
  if (signal.aborted)
    throw new RebuildError(
      'interrupted',
      `the rebuild of ${projector.name} was ended; what it did is kept, and the next one goes on with it`,
    );
};

export const ownCheckpoints = ({ pool, projector, claim }: Work): Promise<readonly Checkpoint[]> =>
  readCheckpoints(pool, projector, claim, undefined);

const fillAndIndex = async (work: Work): Promise<void> => {
  const { pool, projector, claim, at } = work;
  const heads = await withClient(pool, (client) =>
    readHeads(client, work.tenant === undefined ? undefined : [work.tenant]),
  );
  const indexed = await hasIndexes(work);
  if (!indexed) {
    const done = new Map((await ownCheckpoints(work)).map((each) => [each.tenant, each]));
    const total = heads.reduce((sum, { tenant, seq }) => sum + seq - (done.get(tenant)?.seq ?? 0), 0);
    let facts = 0;
    work.progress('filling', 0, total);
    const onFacts = (count: number): void => {
      facts += count;
      work.progress('filling', facts, total);
    };
    try {
      await fillBuild({ ...work, build: claim, heads, done, onFacts });
      await at('filled');
      work.progress('indexing', 0, 1);
      await makeIndexes(work);
      await at('indexed');
      return;
    } catch (error) {
      if (!(error instanceof Unfit)) throw error;
      await asOwner(pool, async (client) => {
        await client.query(`TRUNCATE ${work.table}`);
        await client.query(
          'DELETE FROM projections.checkpoints WHERE projection = $1 AND version = $2 AND build = $3',
          [projector.name, projector.version, claim.build],
        );
      });
      await makeIndexes(work);
    }
  }
  // What a fill left behind, or could not do: by the live runner's own way.
  await followUp(work, 'filling');
  await at('filled');
  await at('indexed');
};

const hasIndexes = async ({ pool, table }: Work): Promise<boolean> =>
  (await pool.query('SELECT FROM pg_index WHERE indrelid = to_regclass($1) AND indisprimary', [table]))
    .rowCount === 1;

/** Throws `Unfit` when the rows are such that an index refuses them. */
const makeIndexes = async ({ pool, projector, folder, claim, table }: Work): Promise<void> => {
  const ddl = await readModelDdl(projector, folder, claim.build);
  try {
    await asOwner(pool, async (client) => {
      await client.query(ddl.indexes);
      await client.query(`ANALYZE ${table}`);
    });
  } catch (error) {
    throw error instanceof StreamError ? unfitIf(error.cause) : error;
  }
};

const BATCH = 5_000;

/** Folds what the build has not seen yet, up to what is recorded now. */
export const followUp = async (work: Work, phase: Phase = 'catching up'): Promise<void> => {
  const { pool, projector, feed, claim, decode, skips, tenant } = work;
  let failure: StreamError | undefined;
  let facts = 0;
  const ended = new AbortController();
  await runProjectors({
    feed: tenant === undefined ? feed : only(feed, tenant),
    sink: postgresRowSink({ pool, target: claim, skips }),
    projectors: [projector],
    decode,
    signal: AbortSignal.any([work.signal, ended.signal]),
    untilCaughtUp: true,
    batchSize: BATCH,
    onBatch: (done) => {
      facts += done.facts;
      work.progress(phase, facts, facts);
    },
    onRetry: (error) => {
      failure = error;
      ended.abort();
    },
  });
  stopIfTold(work);
  if (failure) throw failure;
};

const only = (feed: StreamFeed, tenant: TenantId): StreamFeed => ({
  ...feed,
  subscribe: (options) => feed.subscribe({ ...options, tenants: new Set([tenant]) }),
});

const ROUNDS = 20;

const switchOver = async (work: Work): Promise<Shown> =>
  await whenLevel(work, async () => {
    const switched = await switchBuild({ ...work, build: work.claim });
    return switched.kind === 'switched' ? switched.replaced : undefined;
  });

const swapOver = async (work: Work, tenant: TenantId): Promise<Shown> =>
  await whenLevel(work, () => swapTenant(work, tenant));

/** Follows up until `change` finds the two builds level. */
const whenLevel = async (work: Work, change: () => Promise<Shown | undefined>): Promise<Shown> => {
  for (let round = 1; round <= ROUNDS; round += 1) {
    await followUp(work);
    await work.at('caught-up');
    work.progress('switching', 0, 1);
    const changed = await change();
    if (changed) return changed;
  }
  throw neverLevel(work);
};

const neverLevel = ({ projector }: Work): RebuildError =>
  new RebuildError(
    'never-level',
    `${projector.name} was rebuilt and proved, but facts came in faster than they could be folded: run it again when there is less to do; it goes on where it stands`,
  );
