// The independent replay beside the fill: in a thread of its own, over a connection of its own, from each tenant's first
// fact to the head at which the fill ends. What it comes to is compared when the build is whole; nothing waits for it
// before that, and where it fails, the replay is made then.
import { Worker } from 'node:worker_threads';
import { projectors } from '#projectors/index.ts';
import type { Seq, Sha256, TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import { urlOf } from '#streams/postgres/connect.ts';
import type { StoredHead } from '#streams/postgres/reader.ts';
import type { Work } from './work.ts';

export interface ReplayTask {
  readonly tenant: TenantId;
  readonly tenantNo: number;
  readonly to: Seq;
  readonly skips: ReadonlySet<Seq>;
}

/** What one tenant's history comes to. */
export interface ReplayedBeside {
  /** The last fact that was folded. */
  readonly seq: Seq;
  readonly hash: Sha256;
  readonly rows: number;
  /** As in `projectors/digest.ts`. */
  readonly digest: string;
}

export interface FromReplay {
  readonly tenant: TenantId;
  readonly done: ReplayedBeside | undefined;
}

export interface ReplayThread {
  readonly url: string;
  readonly projection: string;
}

export interface SideReplay extends AsyncDisposable {
  /** `undefined` where it came to nothing. */
  of(tenant: TenantId): Promise<ReplayedBeside | undefined>;
}

/** A thread is not worth its start for fewer facts. */
const BESIDE_FROM = 20_000;

const NOTHING: SideReplay = { of: async () => undefined, [Symbol.asyncDispose]: async () => undefined };

export const replayBeside = (work: Work, heads: readonly StoredHead[]): SideReplay => {
  const { pool, projector, decode, besideFrom = BESIDE_FROM } = work;
  const url = urlOf(pool);
  const facts = heads.reduce((sum, { seq }) => sum + seq, 0);
  // Functions do not go into a thread: it knows those that are registered.
  if (url === undefined || facts < besideFrom || !projectors.includes(projector) || decode !== decodeFact)
    return NOTHING;
  return inThread(work, heads, { url, projection: projector.name });
};

const inThread = (work: Work, heads: readonly StoredHead[], workerData: ReplayThread): SideReplay => {
  const worker = new Worker(new URL('./beside-worker.ts', import.meta.url), { workerData });
  const results = new Map(
    heads.map(({ tenant }) => [tenant, Promise.withResolvers<ReplayedBeside | undefined>()]),
  );
  const giveUp = (): void => {
    for (const { resolve } of results.values()) resolve(undefined);
  };
  worker.on('message', ({ tenant, done }: FromReplay) => results.get(tenant)?.resolve(done));
  worker.on('error', giveUp);
  worker.on('exit', giveUp);
  void giveTasks(work, heads, worker).catch(giveUp);
  return {
    of: async (tenant) => await results.get(tenant)?.promise,
    [Symbol.asyncDispose]: async () => {
      await worker.terminate();
    },
  };
};

const giveTasks = async (
  { projector, skips, signal }: Work,
  heads: readonly StoredHead[],
  worker: Worker,
) => {
  for (const { tenant, tenantNo, seq } of heads) {
    if (signal.aborted) return;
    const task: ReplayTask = { tenant, tenantNo, to: seq, skips: await skips(projector.name, tenant) };
    worker.postMessage(task);
  }
};
