// A rebuild, blue/green:
//   claim the read model · fill a fresh table from the whole history · index it · compare the digest of what is in it
//   with that of an independent replay · record in the ledger that they are the same · fold what was recorded meanwhile ·
//   switch in one transaction
// The build in use is kept by whoever keeps it until the switch, and stays afterwards, for a rollback. A rebuild that
// dies leaves a build that the next one goes on with; nobody reads it.
import { setTimeout as pause } from 'node:timers/promises';
import type { AnyProjector } from '#projectors/batch.ts';
import { RebuildError } from '#projectors/rebuild/errors.ts';
import { decodeFact } from '#schemas/index.ts';
import { streamError } from '#streams/postgres/connect.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { attachToGate } from '../isolation.ts';
import { asOwner } from '../owner.ts';
import { PROJECTORS_FOLDER, sourceDigest } from '../source.ts';
import { tableOf } from '../statements.ts';
import { replayBeside, type SideReplay } from './beside.ts';
import { claimRebuild, endLease, lostLease, stillUnderWay } from './claim.ts';
import { holdEpoch, Unfit } from './fill.ts';
import { swapOver, switchOver } from './level.ts';
import { fillAndIndex, sourcesToFill } from './make.ts';
import { type Proofs, proveTenants, readTableDigests } from './prove.ts';
import type { Shown } from './switch.ts';
import { refuseUnasked } from './unasked.ts';
import { ownCheckpoints, type RebuildOptions, stopIfTold, type TenantProof, type Work } from './work.ts';

export type { Phase, RebuildOptions, RebuildProgress, RebuildProved } from './work.ts';

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
  await refuseUnasked(options.databases ?? oneDatabase(options.pool));
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
  const sources = await sourcesToFill(work);
  // The two share nothing but the heads at which both end.
  await using beside = replayBeside(work, sources[0]?.heads ?? []);
  await fillAndIndex(work, sources);
  stopIfTold(work);
  return await proveAndRecord(work, beside);
};

const proveAndRecord = async (work: Work, beside: SideReplay): Promise<readonly TenantProof[]> => {
  const { pool, projector, claim, at } = work;
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
  const proofs = await proveTenants({ ...work, checkpoints, onFacts, beside }, found);
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
