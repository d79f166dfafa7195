// A replay of so many events for the record: a fixture out of a seed, its replay with every proof, the signed report, its
// verification, and the page. Nightly with a million events, weekly with five; the weekly one leaves its report under
// docs/reports, with the public keys that it verifies with.
//
//   node deploy/launch.mjs deploy/replay/measured.ts --events 5000000 --keep docs/reports
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type KeySet, mergedKeys } from './kept-keys.ts';

const PROGRAM = fileURLToPath(new URL('../processes/cli.ts', import.meta.url));

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: '7' },
    tenants: { type: 'string', default: '3' },
    workers: { type: 'string', default: '2' },
    /** Where report, page and keys stay; without it they are shown and go. */
    keep: { type: 'string' },
  },
});
const { events, seed, tenants, workers, keep } = values;

/** Runs the program; what it says is shown, or handed back. */
const program = async (args: readonly string[], shown: 'shown' | 'taken' = 'shown'): Promise<string> => {
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    stdio: ['ignore', shown === 'shown' ? 'inherit' : 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`prov-ledger ${args[0]} ${args[1]} ended with ${code}`);
  return said;
};

const scratch = await mkdtemp(join(tmpdir(), 'prov-ledger-replay-'));
try {
  const started = performance.now();
  const folder = keep ?? scratch;
  await mkdir(folder, { recursive: true });
  const name = `replay-${events}-${new Date().toISOString().slice(0, 10)}`;
  const fixture = join(scratch, `seed-${seed}-${events}.ndjson.zst`);
  const report = join(folder, `${name}.dsse.json`);
  const keys = join(folder, 'jwks.json');
  await program([
    'fixtures',
    'generate',
    '--events',
    events,
    '--seed',
    seed,
    '--tenants',
    tenants,
    '--out',
    fixture,
  ]);
  await program(['replay', '--fixture', fixture, '--workers', workers, '--report', report]);
  const mine = JSON.parse(await program(['keys', 'list', '--json'], 'taken')) as KeySet;
  const earlier = await readFile(keys, 'utf8').catch(() => '{"keys":[]}');
  await writeFile(keys, `${JSON.stringify(mergedKeys(JSON.parse(earlier) as KeySet, mine), undefined, 2)}\n`);
  await program(['replay', 'verify', report, '--jwks', keys]);
  await program(['replay', 'report', report, '--jwks', keys, '--html', join(folder, `${name}.html`)]);
  console.log(`all of it took ${((performance.now() - started) / 1_000).toFixed(0)} s`);
} finally {
  await rm(scratch, { recursive: true, force: true });
}
