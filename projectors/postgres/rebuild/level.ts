// The last step of a rebuild: what was recorded meanwhile is folded by the live runner's own way, until the new build and
// the one in use are level, and then the one takes the other's place.
import { RebuildError } from '#projectors/rebuild/errors.ts';
import { runProjectors } from '#projectors/run.ts';
import type { TenantId } from '#schemas/ids.ts';
import type { StreamError } from '#streams/errors.ts';
import type { StreamFeed } from '#streams/stream.ts';
import { postgresRowSink } from '../sink.ts';
import { swapTenant } from './swap.ts';
import { type Shown, switchBuild } from './switch.ts';
import { type Phase, stopIfTold, type Work } from './work.ts';

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

export const switchOver = async (work: Work): Promise<Shown> =>
  await whenLevel(work, async () => {
    const switched = await switchBuild({ ...work, build: work.claim });
    return switched.kind === 'switched' ? switched.replaced : undefined;
  });

export const swapOver = async (work: Work, tenant: TenantId): Promise<Shown> =>
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
