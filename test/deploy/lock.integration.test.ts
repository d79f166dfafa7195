import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { processIdentity, tryLock } from '#deploy/lock.mjs';

const MODULE = new URL('../../deploy/lock.mjs', import.meta.url).href;

// Takes and gives back the lock again and again; whoever is inside makes a file that must not be there yet, and some
// die inside without giving back.
const contender = `
import { tryLock } from ${JSON.stringify(MODULE)};
import { openSync, rmSync } from 'node:fs';
const [folder, seed] = process.argv.slice(1);
for (let taken = 0; taken < 25; ) {
  const lock = tryLock(folder, 'owner');
  if (!lock.held) { await new Promise((done) => setTimeout(done, Math.random() * 3)); continue; }
  taken += 1;
  try { openSync(folder + '/inside', 'wx'); } catch { console.log('two inside'); process.exit(3); }
  await new Promise((done) => setTimeout(done, Math.random() * 2));
  rmSync(folder + '/inside');
  if (taken + Number(seed) === 29) process.kill(process.pid, 'SIGKILL');
  lock.release();
}`;

describe('deploy/lock', function () {
  this.timeout(30_000);
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'prov-ledger-lock-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const node = (...args: string[]) =>
    spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });

  it('has one holder, who is named to the others', () => {
    const first = tryLock(folder, 'owner');
    expect(first.held).to.equal(true);
    expect(tryLock(folder, 'owner')).to.deep.equal({ held: false, holder: { pid: process.pid } });
    expect(tryLock(folder, 'other').held).to.equal(true);
    if (first.held) first.release();
    expect(tryLock(folder, 'owner').held).to.equal(true);
  });

  it('passes from a dead holder to the next', async () => {
    const holder = node(
      '--input-type=module',
      '-e',
      `import { tryLock } from ${JSON.stringify(MODULE)}; tryLock(process.argv[1], 'owner'); process.kill(process.pid, 'SIGKILL');`,
      folder,
    );
    await once(holder, 'exit');
    expect(tryLock(folder, 'owner').held).to.equal(true);
  });

  it('does not take another program with the same pid for the holder', () => {
    writeFileSync(join(folder, 'owner.3'), JSON.stringify({ pid: process.pid, identity: 'an earlier run' }));
    expect(tryLock(folder, 'owner').held).to.equal(true);
    expect(readdirSync(folder)).to.deep.equal(['owner.4']);
  });

  it('lets no two in, with six processes of which some die inside', async () => {
    const runs = Array.from({ length: 6 }, (_, seed) =>
      node('--input-type=module', '-e', contender, folder, String(seed)),
    );
    const ends = await Promise.all(runs.map((run) => once(run, 'exit')));
    // Seeds 4 and 5 die at their 25th and 24th turn, inside.
    expect(ends.map(([code, signal]) => (signal as string | null) ?? (code as number))).to.deep.equal([
      0,
      0,
      0,
      0,
      'SIGKILL',
      'SIGKILL',
    ]);
  });

  it('knows the living from the dead', async () => {
    const child = node('-e', 'setInterval(() => {}, 1000)');
    const pid = child.pid ?? 0;
    const identity = processIdentity(pid);
    expect(identity).to.be.a('string').and.to.equal(processIdentity(pid));
    expect(identity).to.not.equal(processIdentity(process.pid));
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(processIdentity(pid)).to.equal(undefined);
    expect(processIdentity(0)).to.equal(undefined);
  });
});
