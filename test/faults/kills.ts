// Kills the ingesting process, or PostgreSQL under it, at random moments, and after each kill asks the oracle: every
// acknowledged fact is there exactly once, and every chain verifies. SIGKILL leaves the operating system's cache alone:
// what this shows is that nothing is acknowledged before its commit, not that the disk keeps what it was told to.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { EmbeddedPostgres } from '#deploy/embedded/server.ts';
import { localKeys } from '#proofs/keys/local.ts';
import { factId } from '#schemas/ids.ts';
import { connect, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { LEDGER_MIGRATIONS, migrate } from '#streams/postgres/migrate.ts';
import { postgresStreamStore } from '#streams/postgres/store.ts';
import { type Acknowledged, expectLedgerSound, type Soundness } from '#test/support/ledger-sound.ts';
import { readAcknowledgements } from './ingest-actor.ts';
import { durableServer, killServer, siteFolder } from './site.ts';

export type Victim = 'process' | 'postgres' | 'both';

export interface KillOptions {
  readonly victims: readonly Victim[];
  /** Each kill comes this long after the callers began, or went on: a random time between the two. */
  readonly afterMs: readonly [least: number, most: number];
  /** PostgreSQL settings on top of the durable ones, to see the oracle fail. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly log?: (line: string) => void;
}

export interface KillFigures {
  readonly kills: number;
  readonly acknowledgedFacts: number;
  readonly storedFacts: number;
  /** Requests that were stored before a kill and acknowledged only when sent again. */
  readonly repeatedRequests: number;
  /** Longest time from a kill to the next acknowledgement. */
  readonly slowestRecoveryMs: number;
  readonly proofsVerified: number;
}

const ACTOR = fileURLToPath(new URL('ingest-actor.ts', import.meta.url));
const RECOVERY_WITHIN_MS = 90_000;

interface Site extends AsyncDisposable {
  readonly server: EmbeddedPostgres;
  readonly keys: string;
  readonly file: string;
}

const openKillSite = async (settings: Readonly<Record<string, string>>): Promise<Site> => {
  const folder = siteFolder();
  const server = await durableServer(join(folder, 'data'), settings);
  const owner = connect({ url: server.url, max: 1 });
  await migrate(owner, [LEDGER_MIGRATIONS]);
  await owner.query('CHECKPOINT');
  await owner.end();
  return {
    server,
    keys: join(folder, 'keys'),
    file: join(folder, 'acknowledged.ndjson'),
    [Symbol.asyncDispose]: async () => {
      await server.stop({ mode: 'immediate' });
      rmSync(folder, { recursive: true, force: true });
    },
  };
};

interface Actor {
  readonly child: ChildProcess;
  /** Rejects when the process ends without having been killed by us. */
  readonly alive: () => void;
}

const startActor = async ({ server, keys, file }: Site): Promise<Actor> => {
  const child = spawn(process.execPath, [ACTOR, server.url, keys, file], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4_000);
  });
  const alive = (): void => {
    if (child.exitCode !== null) throw new Error(`the ingesting process ended by itself: ${said}`);
  };
  await Promise.race([once(child.stdout as NonNullable<typeof child.stdout>, 'data'), once(child, 'exit')]);
  alive();
  return { child, alive };
};

const killed = async ({ child }: Actor): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
};

const acknowledgedFacts = (file: string): readonly Acknowledged[] =>
  readAcknowledgements(file).flatMap(({ tenant, ids }) => ids.map((id) => ({ tenant, id: factId(id) })));

const count = (file: string): number => (existsSync(file) ? readAcknowledgements(file).length : 0);

/** Asks the oracle, while nothing or the actor appends. */
const examine = async ({ server, keys, file }: Site, proofsPerTenant: number): Promise<Soundness> => {
  // Read first: what is acknowledged later may be stored later.
  const acknowledged = acknowledgedFacts(file);
  const pool = connect({ url: server.url, role: RUNTIME_ROLE, max: 2, name: 'oracle' });
  try {
    const local = await localKeys({ folder: keys });
    await using store = await postgresStreamStore({ pool, signer: local.signer });
    return await expectLedgerSound({ store, keys: local.keys }, { acknowledged, proofsPerTenant });
  } finally {
    await pool.end();
  }
};

/** Waits until one more request was acknowledged than after the kill. */
const recovered = async (site: Site, actor: Actor, before: number): Promise<void> => {
  const start = performance.now();
  while (count(site.file) <= before) {
    actor.alive();
    if (performance.now() - start > RECOVERY_WITHIN_MS)
      throw new Error(`no acknowledgement for ${RECOVERY_WITHIN_MS / 1_000} s`);
    await pause(20);
  }
};

export const runKills = async ({
  victims,
  afterMs: [least, most],
  settings = {},
  log = () => {},
}: KillOptions): Promise<KillFigures> => {
  await using site = await openKillSite(settings);
  let actor = await startActor(site);
  let slowestRecoveryMs = 0;
  let proofsVerified = 0;
  try {
    for (const [index, victim] of victims.entries()) {
      await pause(least + Math.random() * (most - least));
      actor.alive();
      const start = performance.now();
      const restarted = victim === 'process' ? undefined : killServer(site.server);
      if (victim !== 'postgres') await killed(actor);
      await restarted;
      const before = count(site.file);
      if (victim !== 'postgres') actor = await startActor(site);
      await recovered(site, actor, before);
      const recoveryMs = performance.now() - start;
      slowestRecoveryMs = Math.max(slowestRecoveryMs, recoveryMs);
      const sound = await examine(site, 20);
      proofsVerified += sound.proofs;
      log(
        `kill ${index + 1}/${victims.length} (${victim}): ${sound.acknowledged} acknowledged, ${sound.facts} stored, all sound, recovered in ${recoveryMs.toFixed(0)} ms`,
      );
    }
  } finally {
    await killed(actor);
  }
  const sound = await examine(site, 500);
  const repeated = readAcknowledgements(site.file).filter(({ kind }) => kind === 'repeated').length;
  return {
    kills: victims.length,
    acknowledgedFacts: sound.acknowledged,
    storedFacts: sound.facts,
    repeatedRequests: repeated,
    slowestRecoveryMs: Math.round(slowestRecoveryMs),
    proofsVerified: proofsVerified + sound.proofs,
  };
};
