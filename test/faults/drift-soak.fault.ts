// npm run soak:drift -- [--minutes N] [--callers N]: writing for so long (60 minutes unless told) while a service compares
// tables and graph. Ends with 1 when anything was found to differ, an alarm was raised, or a write was refused.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startDevNeo4j } from '#deploy/dev/neo4j.ts';
import { graphParts } from '#deploy/dev/parts.ts';
import { stopTestServers } from '#test/support/postgres.ts';
import { soak } from './drift-soak.ts';
import { openSite } from './site.ts';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '60' }, callers: { type: 'string', default: '4' } },
});
const minutes = Number(values.minutes);
const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-drift-soak-'));
try {
  await using neo4j = await startDevNeo4j({ parts: await graphParts(), dataDir: folder });
  await using site = await openSite();
  const callers = Number(values.callers);
  const soaked = await soak({ site, url: neo4j.url, seconds: minutes * 60, callers });
  console.log(JSON.stringify({ minutes, ...soaked }));
  const { refused, divergent, alarms } = soaked;
  process.exitCode = refused + divergent + alarms > 0 ? 1 : 0;
} finally {
  await stopTestServers();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
