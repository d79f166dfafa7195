// npm run fault:rebuild [-- --kills 50 --facts 20000 --seed 1]: rebuilds killed at random moments under live load. Ends with
// 1 when the rows are not those of the history.
import { parseArgs } from 'node:util';
import { random } from '../load/receipts.ts';
import { stopTestServers } from '../support/postgres.ts';
import { killRebuilds } from './rebuild-kills.ts';

const { values } = parseArgs({
  options: { kills: { type: 'string' }, facts: { type: 'string' }, seed: { type: 'string' } },
});
const seed = Number(values.seed ?? Date.now());
const kills = Number(values.kills ?? 50);
const startedAt = performance.now();
const byPoint = new Map<string, number>();
try {
  const { killed, meanwhile, faults } = await killRebuilds({
    kills,
    facts: Number(values.facts ?? 20_000),
    chance: random(seed),
    onKill: ({ after, late }) => {
      const where = late ? 'not at all: it was over' : `after ${after}`;
      byPoint.set(where, (byPoint.get(where) ?? 0) + 1);
    },
  });
  const inTime = killed.filter(({ late }) => !late).length;
  console.log(
    `${inTime} of ${kills} rebuilds killed in time, seed ${seed}, ${meanwhile} facts recorded meanwhile, ${((performance.now() - startedAt) / 1_000).toFixed(0)} s`,
  );
  for (const [where, count] of byPoint) console.log(`  ${String(count).padStart(4)}  ${where}`);
  for (const fault of faults) console.log(`FAULT ${fault}`);
  console.log(faults.length === 0 ? 'every row is that of an independent replay' : 'the rows are wrong');
  process.exitCode = faults.length === 0 ? 0 : 1;
} finally {
  await stopTestServers();
}
