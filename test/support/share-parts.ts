// node deploy/launch.mjs test/support/share-parts.ts FILE
//
// Starts the real parts for several runs of the tests, writes their addresses to FILE, and runs until SIGTERM. What cannot
// be had is left out, and each test says for itself why it is pending. A Neo4j has one graph, which a test empties: all
// tests that want it belong in one run.
import { once } from 'node:events';
import { renameSync, writeFileSync } from 'node:fs';
import { openKafkaPair, stopKafkaPair } from './kafka.ts';
import { openNeo4j, stopNeo4j } from './neo4j.ts';
import type { PartAddresses } from './shared-parts.ts';

const [, , file] = process.argv;
if (file === undefined) throw new Error('name the file for the addresses');
if (process.env['PROV_TEST_PARTS'] !== undefined)
  throw new Error('PROV_TEST_PARTS is for those who share the parts: who starts them would wait for itself');

// Without anything to wait for, Node would end.
const alive = setInterval(() => undefined, 60_000);
const asked = once(process, 'SIGTERM');
const found: PartAddresses = {};
const opened = await Promise.allSettled([
  openKafkaPair().then((pair) => {
    if ('broker' in pair)
      Object.assign(found, { PROV_TEST_KAFKA: pair.broker, PROV_TEST_REGISTRY: pair.registryUrl });
  }),
  openNeo4j().then((graph) => {
    if ('url' in graph) Object.assign(found, { PROV_TEST_NEO4J: graph.url });
  }),
]);
for (const each of opened) if (each.status === 'rejected') console.error(`share-parts: ${each.reason}`);
// Whole or not there.
writeFileSync(`${file}.new`, JSON.stringify(found));
renameSync(`${file}.new`, file);
await asked;
clearInterval(alive);
await Promise.allSettled([stopKafkaPair(), stopNeo4j()]);
