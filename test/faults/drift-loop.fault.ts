// npm run fault:drift-loop -- [mutations] [seconds]: on real processes, elements of the graph changed one after the other
// (200 unless told) while a service compares everything once in so many seconds (60 unless told): how long until each is
// on record as found, how long from the alarm until the write path is closed, and the way back by commands each time.
// Between them the service is killed, Neo4j is killed, or Neo4j is stopped for five seconds as a debugger stops it.
// Ends with 1 when one was not found in that time, when closing took more than 5 s, or when there was an alarm too many.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type DevNeo4j, startDevNeo4j } from '#deploy/dev/neo4j.ts';
import { graphParts } from '#deploy/dev/parts.ts';
import { decodeFact } from '#schemas/index.ts';
import { stopTestServers } from '#test/support/postgres.ts';
import { ACME, type DriftLoop, openDriftLoop } from './drift-loop.ts';
import { openSite, type Site } from './site.ts';

const STOPPED_MS = 5_000;

/** None of it may be taken for drift. */
const disturb = async (index: number, loop: DriftLoop, neo4j: DevNeo4j): Promise<void> => {
  switch (index % 4) {
    case 1:
      return await loop.killed();
    case 2:
      await neo4j.kill();
      return await neo4j.restart();
    case 3:
      process.kill(neo4j.pid(), 'SIGSTOP');
      await pause(STOPPED_MS);
      process.kill(neo4j.pid(), 'SIGCONT');
      return;
    default:
  }
};

const [mutations = 200, seconds = 60] = process.argv.slice(2).map(Number);
const FOUND_MS = 60_000;
const CLOSED_MS = 5_000;

const EDITS = [
  ["SET r.decision = 'maybe'", "SET r.decision = 'allow'"],
  ["SET r.colour = 'red'", 'REMOVE r.colour'],
  ['SET r.action = null', "SET r.action = 'db.export'"],
  ['SET r.policy_version = 7', 'REMOVE r.policy_version'],
] as const;

/** When the last fact of each type was recorded, and how many there are. */
const recorded = async (
  site: Site,
): Promise<ReadonlyMap<string, { readonly at: number; readonly count: number }>> =>
  await site.withStore(async (store) => {
    const last = new Map<string, { at: number; count: number }>();
    for await (const page of store.read(ACME))
      for (const fact of page) {
        const { type, data } = decodeFact(fact);
        const name = type === 'attestations.AttestationRecorded' ? `${type} ${data.verdict}` : type;
        last.set(name, { at: fact.recordedAt, count: (last.get(name)?.count ?? 0) + 1 });
      }
    return last;
  });

interface Round {
  readonly foundMs: number;
  readonly closedMs: number;
}

const round = async (site: Site, loop: DriftLoop, index: number): Promise<Round> => {
  const [apply, undo] = EDITS[index % EDITS.length] as (typeof EDITS)[number];
  // Each says the same when it is said again: a connection from before a kill may fail first.
  const edit = (how: string) =>
    loop.until('Neo4j takes the edit', () =>
      loop.graph
        .query(`MATCH (r:Receipt {tenant: 'acme', receipt_id: 'r-0'}) ${how}`)
        .then(() => true)
        .catch(() => false),
    );
  const counted = async (type: string) => (await recorded(site)).get(type)?.count ?? 0;
  const alarmsBefore = await counted('attestations.DriftAlarmRaised');
  const restoredBefore = await counted('gates.WritePathRestored');
  const from = Date.now();
  await edit(apply);
  await loop.until(
    'the path is closed',
    async () => (await counted('gates.WritePathRolledBack')) > alarmsBefore,
  );
  const now = await recorded(site);
  const raisedAt = now.get('attestations.DriftAlarmRaised')?.at ?? 0;
  const closedAt = now.get('gates.WritePathRolledBack')?.at ?? 0;
  await edit(undo);
  await loop.until(
    'the backfill is on record',
    async () => (await loop.cli('attest', 'backfill', 'receipts', '--tenant', ACME, '--quiet')).code === 0,
  );
  await loop.until(
    'the path is open',
    async () => (await counted('gates.WritePathRestored')) > restoredBefore,
  );
  return { foundMs: raisedAt - from, closedMs: closedAt - raisedAt };
};

const figures = (of: readonly number[]): object => {
  const sorted = of.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0;
  return { p50: at(0.5), p95: at(0.95), max: sorted.at(-1) };
};

const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-drift-loop-'));
try {
  await using neo4j = await startDevNeo4j({ parts: await graphParts(), dataDir: folder });
  await using site = await openSite();
  await using loop = await openDriftLoop(site, neo4j.url, { seconds });
  for (let receipt = 0; receipt < 20; receipt += 1) await loop.publish(`r-${receipt}`);
  await loop.until('it is attested', async () =>
    (await loop.said()).includes('attestations.AttestationRecorded clean'),
  );
  const rounds: Round[] = [];
  for (let index = 0; index < mutations; index += 1) {
    await disturb(index, loop, neo4j);
    rounds.push(await round(site, loop, index));
    if (index % 10 === 9) console.log(`${index + 1} of ${mutations}`);
  }
  const alarms = (await recorded(site)).get('attestations.DriftAlarmRaised')?.count ?? 0;
  const foundMs = rounds.map((each) => each.foundMs);
  const closedMs = rounds.map((each) => each.closedMs);
  console.log(
    JSON.stringify({ mutations, seconds, alarms, foundMs: figures(foundMs), closedMs: figures(closedMs) }),
  );
  const late = foundMs.some((ms) => ms > FOUND_MS) || closedMs.some((ms) => ms > CLOSED_MS);
  process.exitCode = late || alarms !== mutations ? 1 : 0;
} finally {
  await stopTestServers();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
