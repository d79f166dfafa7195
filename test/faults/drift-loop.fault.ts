// npm run fault:drift-loop -- [mutations] [seconds] [tenants]: on real processes, elements of the graph changed (200 unless
// told) on both routes of many tenants at once (10 unless told), while a service compares everything once in so many
// seconds (30 unless told), and is killed, and Neo4j is killed, or stopped for five seconds as a debugger stops it, again
// and again: how long until each is an alarm on record, how long from there until the write path is closed, and the way
// back each time. Ends with 1 when one was not found within 60 s, when closing took more than 5 s though the service was
// there, or when there was an alarm too many; with an error when a step of the way back was not as it must be.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { startDevNeo4j } from '#deploy/dev/neo4j.ts';
import { graphParts } from '#deploy/dev/parts.ts';
import { tenantId } from '#schemas/ids.ts';
import { stopTestServers } from '#test/support/postgres.ts';
import { type Disturbance, type Progress, runCampaign } from './drift-campaign.ts';
import { openDriftLoop } from './drift-loop.ts';
import { openSite } from './site.ts';

const FOUND_MS = 60_000;
const CLOSED_MS = 5_000;
const STOPPED_MS = 5_000;
const DISTURB_EVERY_MS = 12_000;
const TELL_EVERY_MS = 10_000;

const [mutations = 200, seconds = 30, tenants = 10] = process.argv.slice(2).map(Number);

const named = (kind: string, count: number) =>
  Array.from({ length: count }, (_, at) => tenantId(`${kind}-${at}`));

const figures = (of: readonly number[]): object => {
  const sorted = of.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0;
  return { median: at(0.5), p95: at(0.95), max: sorted.at(-1) ?? 0 };
};

const minutes = (ms: number): string => (ms / 60_000).toFixed(1);

/** A line now and then: how many are through, how fast it goes, and when it will be over. */
const teller = () => {
  const startedAt = performance.now();
  let latest: Progress = { begun: 0, done: 0, disturbed: 0 };
  const timer = setInterval(() => {
    const { begun, done, disturbed } = latest;
    const each = (performance.now() - startedAt) / done;
    const pace =
      done > 0
        ? `, ${(60_000 / each).toFixed(1)} a minute, ${minutes((mutations - done) * each)} minutes to go`
        : '';
    console.log(
      `${done} of ${mutations} found and back, ${begun - done} on their way${pace}; ${disturbed} disturbances`,
    );
  }, TELL_EVERY_MS);
  return {
    onProgress: (progress: Progress): void => {
      latest = progress;
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
};

const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-drift-loop-'));
try {
  await using neo4j = await startDevNeo4j({ parts: await graphParts(), dataDir: folder });
  const harmed = named('harmed', tenants);
  await using site = await openSite({ tenants: [...harmed, ...named('quiet', 2)] });
  await using loop = await openDriftLoop(site, neo4j.url, { seconds });
  const disturbances: readonly Disturbance[] = [
    { what: 'service killed', stops: true, run: () => loop.killed() },
    {
      what: 'Neo4j killed',
      stops: false,
      run: async () => {
        await neo4j.kill();
        await neo4j.restart();
      },
    },
    {
      what: 'Neo4j stopped',
      stops: false,
      run: async () => {
        process.kill(neo4j.pid(), 'SIGSTOP');
        await pause(STOPPED_MS);
        process.kill(neo4j.pid(), 'SIGCONT');
      },
    },
  ];
  using progress = teller();
  const startedAt = performance.now();
  const { rounds, alarms, disturbed } = await runCampaign({
    site,
    loop,
    harmed,
    mutations,
    spreadMs: seconds * 1_000,
    disturbances,
    disturbEveryMs: DISTURB_EVERY_MS,
    onProgress: progress.onProgress,
  });
  await site.sound();
  const closing = rounds.filter(({ acrossKill }) => !acrossKill);
  console.log(
    JSON.stringify({
      mutations,
      seconds,
      tenants,
      minutes: Number(minutes(performance.now() - startedAt)),
      disturbed,
      alarms,
      foundMs: figures(rounds.map(({ foundMs }) => foundMs)),
      closedMs: figures(closing.map(({ closedMs }) => closedMs)),
      closedAcrossKill: rounds.length - closing.length,
    }),
  );
  const late =
    rounds.some(({ foundMs }) => foundMs > FOUND_MS) || closing.some(({ closedMs }) => closedMs > CLOSED_MS);
  process.exitCode = late || alarms !== mutations ? 1 : 0;
} finally {
  await stopTestServers();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
