// npm run fault:drift -- [edges] [people] [rounds]: the mutation campaign on a large graph (220,000 edges among 50,000
// people unless told). A round makes one mutation of every kind, each at a pair of its own, compares everything, and
// undoes them. Ends with 1 when one was not found, found elsewhere or otherwise, or when something else was.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startDevNeo4j } from '#deploy/dev/neo4j.ts';
import { graphParts } from '#deploy/dev/parts.ts';
import { stopTestServers } from '#test/support/postgres.ts';
import { type Mutation, mutationsAt, named, type Pair } from './drift.ts';
import { type OpenDriftSite, openDriftSite } from './drift-site.ts';

const [edges = 220_000, people = 50_000, rounds = 10] = process.argv.slice(2).map(Number);

/** One mutation of each kind, at pairs that are far from one another. */
const roundOf = (site: OpenDriftSite, round: number): readonly Mutation[] => {
  const kinds = mutationsAt(site, site.pairs[1] as Pair, site.pairs[2] as Pair).length;
  const stride = Math.floor(edges / (kinds * 2 + 2));
  return Array.from({ length: kinds }, (_, kind) => {
    // Every fifth pair has no list to put into another order.
    const near = (at: number): Pair => site.pairs[at - (at % 5) + 1 + (round % 4)] as Pair;
    return mutationsAt(site, near(stride * (2 * kind) + round * 7), near(stride * (2 * kind + 1)))[
      kind
    ] as Mutation;
  });
};

const seconds = (from: number): string => ((performance.now() - from) / 1_000).toFixed(1);

const campaign = async (site: OpenDriftSite): Promise<{ readonly made: number; readonly wrong: number }> => {
  let made = 0;
  let wrong = 0;
  for (let round = 0; round < rounds; round += 1) {
    const mutations = roundOf(site, round);
    for (const { apply } of mutations) await apply();
    const from = performance.now();
    const { differences, elements, read } = await site.attest();
    const took = seconds(from);
    const found = new Set(differences.map(named));
    const expected = new Set(mutations.flatMap((each) => each.expected));
    const missed = [...expected].filter((each) => !found.has(each));
    const invented = [...found].filter((each) => !expected.has(each));
    made += mutations.length;
    wrong += missed.length + invented.length;
    const located = (((read - 2 * elements) / elements) * 100).toFixed(3);
    console.log(
      `round ${round + 1}: ${mutations.length} mutations, ${expected.size} differences, ${missed.length} missed, ${invented.length} false; ${took} s for ${elements} elements, ${located} % read again to locate them`,
    );
    for (const each of missed) console.log(`  missed: ${each}`);
    for (const each of invented) console.log(`  false: ${each}`);
    for (const { undo } of mutations) await undo();
  }
  const { verdict } = await site.attest();
  console.log(`all undone: ${verdict}`);
  return { made, wrong: wrong + (verdict === 'clean' ? 0 : 1) };
};

const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-drift-'));
try {
  await using neo4j = await startDevNeo4j({ parts: await graphParts(), dataDir: folder });
  const from = performance.now();
  await using site = await openDriftSite(neo4j.url, { edges, people });
  console.log(`${edges} edges among ${people} people in both stores after ${seconds(from)} s`);
  const { made, wrong } = await campaign(site);
  console.log(`${made} mutations, ${wrong} wrong`);
  process.exitCode = wrong === 0 ? 0 : 1;
} finally {
  await stopTestServers();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
