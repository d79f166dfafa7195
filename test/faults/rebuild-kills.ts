// Rebuilds killed at random moments, while facts are recorded and the live runner folds them: whatever was killed, the rows
// are those of an independent replay in the end, and no table is left half made.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { verifyReadModel } from '#projectors/postgres/rebuild/verify.ts';
import { ACME, GLOBEX } from '../projectors/chains.ts';
import { type History, history } from '../projectors/rebuild/history.ts';
import { decode, mixture, tally } from '../projectors/tally.ts';

export interface KillsOptions {
  readonly kills: number;
  /** Facts before the first rebuild. */
  readonly facts: number;
  /** From 0 up to 1. */
  readonly chance: () => number;
  readonly onKill?: (kill: Killed) => void;
}

export interface Killed {
  /** The last point that the rebuild passed. */
  readonly after: string;
  /** It came to its end before it could be killed. */
  readonly late: boolean;
}

export interface KillsResult {
  readonly killed: readonly Killed[];
  /** Facts recorded meanwhile. */
  readonly meanwhile: number;
  /** Why the rows are not those of the history; none when they are. */
  readonly faults: readonly string[];
}

const CHILD = join(import.meta.dirname, '../projectors/rebuild/rebuild-child.ts');
const sound = (length: number) => mixture(length).map((said) => (said.payload ? { type: said.type } : said));

export const killRebuilds = async ({ kills, facts, chance, onKill }: KillsOptions): Promise<KillsResult> => {
  await using past = await history();
  await past.say(ACME, sound(facts));
  await past.say(GLOBEX, sound(Math.ceil(facts / 4)));
  await past.follow();
  const over = new AbortController();
  const load = { meanwhile: 0 };
  const loaded = keepBusy(past, load, over.signal);
  const killed: Killed[] = [];
  try {
    const whole = await rebuildIn(past, undefined);
    for (let index = 0; index < kills; index += 1) {
      const kill = await rebuildIn(past, chance() * whole.ms);
      killed.push(kill);
      onKill?.(kill);
    }
    const last = await rebuildIn(past, undefined);
    if (last.after !== 'released') throw new Error(`the last rebuild ended after ${last.after}`);
  } finally {
    over.abort();
    await loaded;
  }
  await past.follow();
  return { killed, meanwhile: load.meanwhile, faults: await faultsOf(past) };
};

/** Facts of both tenants, a few at a time, and a live runner behind them. */
const keepBusy = async (past: History, load: { meanwhile: number }, signal: AbortSignal): Promise<void> => {
  while (!signal.aborted) {
    await past.say(ACME, sound(7));
    await past.say(GLOBEX, sound(3));
    load.meanwhile += 10;
    await past.follow();
    await pause(5);
  }
};

interface Run extends Killed {
  /** From the moment on which it held the claim. */
  readonly ms: number;
}

/** One rebuild in a process of its own, killed so many milliseconds after it has the claim. */
const rebuildIn = async (past: History, killAfterMs: number | undefined): Promise<Run> => {
  const child: ChildProcess = spawn(process.execPath, [CHILD, past.url, 'told'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  let claimedAt: number | undefined;
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
    if (claimedAt !== undefined || !said.includes('claimed')) return;
    claimedAt = performance.now();
    if (killAfterMs !== undefined) setTimeout(() => child.kill('SIGKILL'), killAfterMs);
  });
  await new Promise((resolve) => child.once('close', resolve));
  const lines = said.trim().split('\n');
  const late = lines.at(-1) === 'rebuilt';
  if (!late && child.signalCode !== 'SIGKILL') throw new Error(`a rebuild failed: ${said}`);
  const after = (late ? lines.at(-2) : lines.at(-1)) ?? '';
  return { after, late, ms: performance.now() - (claimedAt ?? performance.now()) };
};

const faultsOf = async ({ pool, store }: History): Promise<readonly string[]> => {
  const { unequal } = await verifyReadModel({
    pool,
    store,
    projector: tally,
    decode,
    skips: async () => new Set(),
  });
  const { rows } = await pool.query<{ state: string; n: number }>(
    `SELECT state, count(*)::int AS n FROM projections.builds WHERE projection = 'tally' AND state <> 'kept' GROUP BY 1`,
  );
  const { rows: behind } = await pool.query<{ tenant: string }>(
    `SELECT tenant FROM views.projection_status WHERE projection = 'tally' AND state <> 'current'`,
  );
  return [
    ...unequal.map(({ tenant, message }) => `${tenant}: ${message}`),
    ...(rows.length === 1 && rows[0]?.state === 'live' && rows[0].n === 1
      ? []
      : [`builds: ${JSON.stringify(rows)}`]),
    ...behind.map(({ tenant }) => `${tenant} is not current`),
  ];
};
