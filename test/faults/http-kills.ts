// The service under open-loop load, killed at random moments, itself or PostgreSQL under it or both. The service is started
// again at once, as an init system does; after PostgreSQL's death it must come back by itself. Answers that contradict
// one another end the run at once, and every so many kills all that is stored is held to them. SIGKILL leaves the operating
// system's cache alone, so what this shows is order, not the disk.
import { setTimeout as pause } from 'node:timers/promises';
import { type Load, startLoad } from './http-load.ts';
import { killServer, openSite, type Service, type Settings, type Site } from './site.ts';

export type Victim = 'service' | 'postgres' | 'both';

export interface HttpKillOptions {
  readonly victims: readonly Victim[];
  /** Each kill comes this long after the answers began, or went on: a random time between the two. */
  readonly afterMs: readonly [least: number, most: number];
  /** Requests in a second; 150 unless told. */
  readonly rate?: number;
  /** After so many kills the whole ledger is looked through, which takes longer each time; 1 unless told. */
  readonly wholeEvery?: number;
  /** PostgreSQL settings on top of the durable ones, to see the oracle fail. */
  readonly settings?: Settings;
  readonly log?: (line: string) => void;
}

export interface HttpKillFigures {
  readonly kills: number;
  readonly receipts: number;
  /** Answers that repeated an earlier one, each compared with it byte for byte. */
  readonly repeatedAnswers: number;
  readonly storedFacts: number;
  readonly proofsVerified: number;
  /** From a kill to the next acknowledgement. */
  readonly recoveryMs: { readonly median: number; readonly slowest: number };
  /** What clients saw meanwhile: errors of the connection, and problems. */
  readonly trouble: Readonly<Record<string, number>>;
}

const RECOVERY_WITHIN_MS = 90_000;

interface Scene {
  readonly site: Site;
  readonly load: Load;
  service: Service;
}

export const runHttpKills = async (options: HttpKillOptions): Promise<HttpKillFigures> => {
  const { victims, afterMs, rate = 150, wholeEvery = 1, settings, log = () => undefined } = options;
  await using site = await openSite(settings ? { settings } : {});
  const service = await site.service();
  using load = startLoad({ url: service.url, tokens: site.tokens, rate });
  const scene: Scene = { site, load, service };
  const recoveries: number[] = [];
  let proofsVerified = 0;
  for (const [index, victim] of victims.entries()) {
    await pause(afterMs[0] + Math.random() * (afterMs[1] - afterMs[0]));
    const recoveryMs = await killOnce(scene, victim);
    recoveries.push(recoveryMs);
    load.check();
    const seen = (index + 1) % wholeEvery === 0 ? await examine(scene, 20) : undefined;
    proofsVerified += seen?.proofs ?? 0;
    const sound = seen ? `, ${seen.facts} stored, all sound` : '';
    const { acknowledged } = load.answers.figures();
    log(
      `kill ${index + 1}/${victims.length} (${victim}): recovered in ${recoveryMs.toFixed(0)} ms, ${acknowledged} acknowledged${sound}`,
    );
  }
  await load.settle();
  const { facts, proofs } = await examine(scene, 500);
  const { acknowledged, repeated } = load.answers.figures();
  const sorted = recoveries.toSorted((a, b) => a - b);
  return {
    kills: victims.length,
    receipts: acknowledged,
    repeatedAnswers: repeated,
    storedFacts: facts,
    proofsVerified: proofsVerified + proofs,
    recoveryMs: {
      median: Math.round(sorted[sorted.length >> 1] ?? 0),
      slowest: Math.round(sorted.at(-1) ?? 0),
    },
    trouble: Object.fromEntries(load.trouble),
  };
};

/** Resolves with the time to the next acknowledgement. */
const killOnce = async (scene: Scene, victim: Victim): Promise<number> => {
  const { site, load } = scene;
  if (!scene.service.alive()) throw new Error('the service ended by itself');
  const start = performance.now();
  const restarted = victim === 'service' ? undefined : killServer(site.server);
  if (victim !== 'postgres') await scene.service.kill();
  await restarted;
  if (victim !== 'postgres') scene.service = await site.service({ port: scene.service.port });
  const { acknowledged: before } = load.answers.figures();
  while (load.answers.figures().acknowledged <= before) {
    load.check();
    if (!scene.service.alive()) throw new Error('the service ended by itself');
    if (performance.now() - start > RECOVERY_WITHIN_MS)
      throw new Error(`no acknowledgement for ${RECOVERY_WITHIN_MS / 1_000} s`);
    await pause(10);
  }
  return performance.now() - start;
};

const examine = async ({ site, load }: Scene, proofsPerTenant: number) => {
  load.check();
  await site.withStore((store) => load.answers.expectKept(store));
  return await site.sound({ proofsPerTenant });
};
