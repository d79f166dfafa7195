// What operators do with read models, whatever they do it with: looked at, held, let go, rebuilt, verified and put back.
import { projections } from '#commands/projections.ts';
import { runCommand } from '#commands/run.ts';
import { projectors } from '#projectors/index.ts';
import type { JobProgress } from '#projectors/postgres/jobs.ts';
import { type ProjectionLag, projectionLag } from '#projectors/postgres/lag.ts';
import { type DroppedBuild, dropOld } from '#projectors/postgres/rebuild/drop.ts';
import { type RebuildProved, type Rebuilt, rebuild } from '#projectors/postgres/rebuild/rebuild.ts';
import { type RolledBack, rollback } from '#projectors/postgres/rebuild/rollback.ts';
import { type Verified, verifyReadModel } from '#projectors/postgres/rebuild/verify.ts';
import {
  type ParkedFact,
  type ProjectionStatus,
  parkedFacts,
  pauseReadModel,
  projectionStatus,
  resumeHalted,
  resumeReadModel,
} from '#projectors/postgres/status.ts';
import { skipsIn } from '#projectors/rebuild/skips.ts';
import type { Instant, TenantId } from '#schemas/ids.ts';
import type { LedgerDatabases } from '#streams/postgres/databases.ts';
import type { StreamFeed, StreamStore } from '#streams/stream.ts';
import { type Skip, type Skipped, skipParked } from './parked.ts';

/** Work on one read model, of all tenants or of one. */
export interface WorkRequest {
  readonly projection: string;
  readonly tenant?: TenantId | undefined;
  /** Who asked: the author of what is recorded of it. */
  readonly actor: string;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: JobProgress) => void;
}

/** Throw `StreamError`, `RebuildError`. */
export interface ReadModels {
  readonly names: readonly string[];
  readonly lag: () => Promise<readonly ProjectionLag[]>;
  readonly status: (tenant: TenantId) => Promise<readonly ProjectionStatus[]>;
  /** False when it was paused before. */
  readonly pause: (projection: string, reason: string) => Promise<boolean>;
  /** False when it was not paused. */
  readonly resume: (projection: string) => Promise<boolean>;
  /** Lets one that has halted for a tenant try the same fact again; false when it has not halted. */
  readonly retry: (projection: string, tenant: TenantId) => Promise<boolean>;
  /** The facts it has halted at, so many at most. */
  readonly parked: (projection: string, limit: number) => Promise<readonly ParkedFact[]>;
  readonly skip: (skip: Skip) => Promise<Skipped>;
  readonly rebuild: (request: WorkRequest) => Promise<Rebuilt>;
  readonly verify: (request: WorkRequest) => Promise<Verified>;
  readonly rollback: (request: Pick<WorkRequest, 'projection' | 'signal'>) => Promise<RolledBack>;
  readonly dropOld: (projection: string) => Promise<readonly DroppedBuild[]>;
}

export interface ReadModelsOptions {
  readonly databases: LedgerDatabases;
  readonly store: Pick<StreamStore, 'append' | 'find' | 'read' | 'readStream'>;
  /** Asked for by a rebuild only: a feed holds a connection. */
  readonly feed: () => StreamFeed;
  readonly clock: () => Instant;
}

export const readModels = ({ databases, store, feed, clock }: ReadModelsOptions): ReadModels => {
  const { pool } = databases.home;
  const named = (name: string) => {
    const found = projectors.find((projector) => projector.name === name);
    if (found) return found;
    throw new Error(`there is no read model ${name}`);
  };
  return {
    names: projectors.map(({ name }) => name),
    lag: () => projectionLag(databases, projectors),
    status: (tenant) => projectionStatus(databases, tenant),
    pause: (projection, reason) => pauseReadModel(pool, projection, reason),
    resume: (projection) => resumeReadModel(pool, projection),
    retry: (projection, tenant) => resumeHalted(pool, projection, tenant),
    parked: (projection, limit) => parkedFacts(pool, { projection, limit }),
    skip: (skip) => skipParked({ pool, store, clock }, skip),
    rebuild: ({ projection, actor, ...request }) =>
      rebuild({
        ...request,
        pool,
        databases,
        store,
        feed: feed(),
        projector: named(projection),
        skips: skipsIn(store),
        attest: recordProofs({ store, clock, actor }),
      }),
    verify: ({ projection, tenant, signal, onProgress }) =>
      verifyReadModel({
        pool,
        store,
        projector: named(projection),
        tenant,
        skips: skipsIn(store),
        signal,
        onFacts: (facts, total) => onProgress({ phase: 'replaying', facts, total }),
      }),
    rollback: ({ projection, signal }) =>
      rollback({
        pool,
        store,
        feed: feed(),
        projector: named(projection),
        skips: skipsIn(store),
        signal,
      }),
    dropOld: (projection) => dropOld(pool, named(projection).name),
  };
};

export interface RecordingOptions {
  readonly store: Pick<StreamStore, 'append' | 'find' | 'readStream'>;
  readonly clock: () => Instant;
  readonly actor: string;
}

/** Proofs on their way into the ledger at once: they share its commits. */
const TOGETHER = 200;

/** Records the proofs, each in its tenant's chain; one that was recorded by a rebuild that died is not recorded twice. */
export const recordProofs =
  ({ store, clock, actor }: RecordingOptions) =>
  async ({ projection, version, build, sourceDigest, proofs }: RebuildProved): Promise<void> => {
    const record = async (each: RebuildProved['proofs'][number]): Promise<void> => {
      const { tenant, seq, hash, rows, digest } = each;
      const proof = {
        projection,
        version,
        build,
        source_digest: sourceDigest,
        as_of_seq: seq,
        as_of_hash: hash,
        rows,
        digest,
      };
      const key = `projections.RebuildProved ${projection} v${version} b${build} ${seq} ${digest}`;
      const outcome = await runCommand(
        { store, decider: projections },
        { type: 'RecordRebuildProved', projection, proof },
        { tenant, actor, at: clock(), key },
      );
      if (outcome.kind !== 'recorded' && outcome.kind !== 'repeated')
        throw new Error(`the proof of ${projection} for ${tenant} was not recorded: ${outcome.kind}`);
    };
    // A tenant whose first fact was not folded has nothing that could be proved.
    const sayable = proofs.filter(({ seq }) => seq > 0);
    for (let from = 0; from < sayable.length; from += TOGETHER)
      await Promise.all(sayable.slice(from, from + TOGETHER).map(record));
  };
