import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  accessSync,
  chmodSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { isInstalled } from '#deploy/install.mjs';
import { isAtLeast } from '#deploy/launch.mjs';

const DEPLOY = fileURLToPath(new URL('../../deploy', import.meta.url));
const LOCK = {
  packages: {
    '': { dependencies: { thing: '1.0.0' } },
    'node_modules/thing': { version: '1.0.0', integrity: 'sha512-x' },
  },
};

// A project of its own whose npm is a script: it notes each call and makes node_modules as npm would.
describe('deploy/launch', function () {
  this.timeout(20_000);
  let folder: string;
  let project: string;
  let calls: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'prov-ledger launch-'));
    project = join(folder, 'a project');
    calls = join(folder, 'npm-calls');
    mkdirSync(join(folder, 'bin'), { recursive: true });
    mkdirSync(join(project, 'deploy', 'embedded'), { recursive: true });
    for (const file of ['launch.mjs', 'install.mjs', 'lock.mjs', 'embedded/native.mjs'])
      cpSync(join(DEPLOY, file), join(project, 'deploy', file));
    writeFileSync(
      join(project, 'package.json'),
      JSON.stringify({ type: 'module', dependencies: { thing: '1.0.0' } }),
    );
    writeFileSync(join(project, 'package-lock.json'), JSON.stringify(LOCK));
    program(
      'show.ts',
      `const shown: object = { args: process.argv.slice(2), node: process.version, first: process.env.PATH.split(':')[0], execPath: process.env.npm_node_execpath, cwd: process.cwd() };
      console.log(JSON.stringify(shown));`,
    );
    npm('mkdir -p node_modules && cp package-lock.json node_modules/.package-lock.json');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const program = (name: string, text: string): void => writeFileSync(join(project, name), text);
  function npm(body: string): void {
    const file = join(folder, 'bin', 'npm');
    writeFileSync(file, `#!/bin/sh\necho "$1" >> "${calls}"\n${body}\n`);
    chmodSync(file, 0o755);
  }
  const npmCalls = (): string[] => (existsSync(calls) ? readFileSync(calls, 'utf8').trim().split('\n') : []);

  type Ended = { code: number | null; signal: string | null; out: string; err: string };
  type Started = { child: ChildProcess; ended: Promise<Ended> };

  function start(args: readonly string[], options: { node?: string; path?: string } = {}): Started {
    const { npm_execpath: _, NODE_COMPILE_CACHE: __, ...env } = process.env;
    const path =
      options.path ?? [join(folder, 'bin'), dirname(process.execPath), '/usr/bin', '/bin'].join(delimiter);
    const launcher = join(project, 'deploy', 'launch.mjs');
    const child = spawn(options.node ?? process.execPath, [launcher, ...args], {
      cwd: folder,
      env: { ...env, PATH: path, TMPDIR: folder },
    });
    let [out, err] = ['', ''];
    child.stdout.on('data', (text) => (out += text));
    child.stderr.on('data', (text) => (err += text));
    const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, out, err }) as Ended);
    return { child, ended };
  }
  const run = (...given: Parameters<typeof start>): Promise<Ended> => start(...given).ended;

  it('installs once, then only when the lock file changes; passes arguments, keeps the working folder', async () => {
    const first = await run(['show.ts', 'one two', '--three']);
    expect(first).to.include({ code: 0 });
    expect(first.err).to.match(/installing packages/);
    expect(JSON.parse(first.out)).to.deep.include({
      args: ['one two', '--three'],
      cwd: folder,
      execPath: process.execPath,
      first: dirname(process.execPath),
    });
    expect((await run(['show.ts'])).err).to.equal('');
    expect(npmCalls()).to.deep.equal(['ci']);
    writeFileSync(
      join(project, 'package-lock.json'),
      JSON.stringify({ packages: { ...LOCK.packages, 'node_modules/new': { version: '2.0.0' } } }),
    );
    await run(['show.ts']);
    expect(npmCalls()).to.deep.equal(['ci', 'ci']);
  });

  it('keeps compiled code beside the packages, so that the next start is quick', async () => {
    const compiled = join(project, 'node_modules', '.cache', 'prov-ledger', 'compiled');
    await run(['show.ts']);
    expect(readdirSync(compiled, { recursive: true })).to.have.length.greaterThan(1);
  });

  it('leaves a node_modules alone that npm made by hand and that agrees', async () => {
    mkdirSync(join(project, 'node_modules'));
    cpSync(join(project, 'package-lock.json'), join(project, 'node_modules', '.package-lock.json'));
    expect((await run(['show.ts'])).code).to.equal(0);
    expect(npmCalls()).to.deep.equal([]);
  });

  it('falls back to npm install, and says so when that fails too', async () => {
    npm('[ "$1" = install ] && mkdir -p node_modules');
    expect((await run(['show.ts'])).code).to.equal(0);
    expect(npmCalls()).to.deep.equal(['ci', 'install']);
    rmSync(join(project, 'node_modules'), { recursive: true });
    npm('exit 1');
    const failed = await run(['show.ts']);
    expect(failed.code).to.equal(1);
    expect(failed.err.trim().split('\n').at(-1)).to.match(/^prov-ledger: npm could not install the packages/);
  });

  it('does not ask for what npm refuses: a lock file that lacks the packages of other platforms', async () => {
    const thing = {
      ...LOCK.packages['node_modules/thing'],
      optionalDependencies: { 'thing-elsewhere': '1.0.0' },
    };
    const packages = { ...LOCK.packages, 'node_modules/thing': thing };
    writeFileSync(join(project, 'package-lock.json'), JSON.stringify({ packages }));
    expect((await run(['show.ts'])).code).to.equal(0);
    expect(npmCalls()).to.deep.equal(['install']);
  });

  it('says in one line that npm is missing', async () => {
    const failed = await run(['show.ts'], { path: join(folder, 'empty') });
    expect(failed.code).to.equal(1);
    expect(failed.err.trim().split('\n').at(-1)).to.match(/^prov-ledger: npm is not on the PATH/);
  });

  it('installs once for two launchers at once', async () => {
    npm('sleep 1; mkdir -p node_modules && cp package-lock.json node_modules/.package-lock.json');
    const both = await Promise.all([run(['show.ts']), run(['show.ts'])]);
    expect(both.map((ended) => ended.code)).to.deep.equal([0, 0]);
    expect(npmCalls()).to.deep.equal(['ci']);
    expect(both.map((ended) => ended.err).join('')).to.match(
      /process \d+ is installing the packages, waiting/,
    );
  });

  it('installs after a launcher that was killed while it installed', async () => {
    npm('echo started; sleep 5');
    const { child, ended } = start(['show.ts']);
    await once(child.stderr as NodeJS.ReadableStream, 'data');
    child.kill('SIGKILL');
    child.stdout?.destroy();
    child.stderr?.destroy();
    await ended;
    npm('mkdir -p node_modules && cp package-lock.json node_modules/.package-lock.json');
    expect((await run(['show.ts'])).code).to.equal(0);
  });

  it('passes exit codes through, and a death by signal as 128 + its number', async () => {
    program('seven.mjs', 'process.exit(7)');
    program('killed.mjs', "process.kill(process.pid, 'SIGKILL')");
    expect((await run(['seven.mjs'])).code).to.equal(7);
    expect((await run(['killed.mjs'])).code).to.equal(137);
  });

  const counter = `let n = 0;
    for (const name of ['SIGINT', 'SIGTERM']) process.on(name, () => { n += 1; setTimeout(() => { console.log(name + ' ' + n); process.exit(5); }, 400); });
    setInterval(() => {}, 1000); console.log('up');`;

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    it(`passes ${signal} on exactly once and waits for the end`, async () => {
      program('counter.mjs', counter);
      const { child, ended } = start(['counter.mjs']);
      await once(child.stdout as NodeJS.ReadableStream, 'data');
      child.kill(signal);
      expect(await ended).to.include({ code: 5, out: `up\n${signal} 1\n` });
    });
  }

  it('leaves ctrl-C in a terminal to the terminal, which reaches the program by itself', async function () {
    if (!onPath('python3')) return this.skip();
    program('counter.mjs', counter);
    npm('mkdir -p node_modules && cp package-lock.json node_modules/.package-lock.json');
    await run(['show.ts']);
    const terminal = `
import os, pty, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
out = b''
while b'up' not in out: out += os.read(fd, 1000)
time.sleep(0.2); os.write(fd, b'\\x03')
try:
    while True:
        chunk = os.read(fd, 1000)
        if not chunk: break
        out += chunk
except OSError: pass
print(out.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))`;
    const said = execFileSync(
      'python3',
      ['-c', terminal, process.execPath, join(project, 'deploy', 'launch.mjs'), 'counter.mjs'],
      { encoding: 'utf8' },
    );
    expect(said).to.match(/SIGINT 1\s/);
    expect(said.trim()).to.match(/ 5$/);
  });

  it('runs under the packaged Node when the host has an older one', async function () {
    const old = olderNode();
    if (old === undefined) return this.skip();
    const platform = process.platform === 'win32' ? 'win' : process.platform;
    const packaged = join(project, 'node_modules', `node-${platform}-${process.arch}`, 'bin');
    const without = await run(['show.ts'], { node: old });
    expect(without.code).to.equal(1);
    expect(without.err.trim().split('\n').at(-1)).to.match(
      /^prov-ledger: Node 2\d\..* is too old.*install Node 24\.15 or later/,
    );
    mkdirSync(packaged, { recursive: true });
    symlinkSync(process.execPath, join(packaged, 'node'));
    const shown = JSON.parse((await run(['show.ts'], { node: old })).out) as Record<string, string>;
    expect(shown).to.include({ node: process.version, first: packaged, execPath: join(packaged, 'node') });
  });

  it('names what does not exist', async () => {
    expect((await run(['gone.ts'])).err).to.match(/there is no .*gone\.ts\./);
    expect((await run(['gone'])).err).to.match(/no installed package has a program called gone\./);
    expect(await run([])).to.include({ code: 2 });
  });
});

describe('deploy/install isInstalled', () => {
  let project: string;
  beforeEach(() => {
    project = mkdtempSync(join(tmpdir(), 'prov-ledger-install-'));
    mkdirSync(join(project, 'node_modules'));
    writeFileSync(join(project, 'package.json'), JSON.stringify({ dependencies: { thing: '1.0.0' } }));
  });
  afterEach(() => rmSync(project, { recursive: true, force: true }));

  const judge = (wanted: object, found: object): boolean => {
    writeFileSync(
      join(project, 'package-lock.json'),
      JSON.stringify({ packages: { '': LOCK.packages[''], ...wanted } }),
    );
    writeFileSync(join(project, 'node_modules', '.package-lock.json'), JSON.stringify({ packages: found }));
    return isInstalled(project);
  };
  const thing = { 'node_modules/thing': { version: '1.0.0', integrity: 'sha512-x' } };
  const optional = (entry: object): object => ({
    ...thing,
    'node_modules/native': { version: '1.0.0', optional: true, ...entry },
  });

  it('agrees when every package is there in its version', () => expect(judge(thing, thing)).to.equal(true));
  it('is stale without a package', () => expect(judge(thing, {})).to.equal(false));
  it('is stale with another version', () =>
    expect(judge(thing, { 'node_modules/thing': { version: '1.0.1' } })).to.equal(false));
  it('lets an optional package of another platform be absent', () =>
    expect(judge(optional({ os: ['other'] }), thing)).to.equal(true));
  it('is stale without the optional package of this platform', () =>
    expect(judge(optional({ os: [process.platform], cpu: [process.arch] }), thing)).to.equal(false));
  it('is stale when package.json asks for what the lock file does not know', () => {
    writeFileSync(
      join(project, 'package.json'),
      JSON.stringify({ dependencies: { thing: '1.0.0', more: '1.0.0' } }),
    );
    expect(judge(thing, thing)).to.equal(false);
  });
});

describe('deploy/launch isAtLeast', () => {
  const cases: [string, [number, number], boolean][] = [
    ['24.15.0', [24, 15], true],
    ['24.14.9', [24, 15], false],
    ['25.0.0', [24, 15], true],
    ['20.20.2', [24, 15], false],
    ['20.0.0', [20, 0], true],
    ['18.20.0', [20, 0], false],
  ];
  for (const [version, least, expected] of cases) {
    it(`${version} ${expected ? 'is' : 'is not'} at least ${least.join('.')}`, () =>
      expect(isAtLeast(version, least)).to.equal(expected));
  }
});

function onPath(name: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((entry) => isProgram(join(entry, name)));
}

function olderNode(): string | undefined {
  const found = (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((entry) => join(entry, 'node'))
    .filter(isProgram);
  return found.find((file) => {
    const version = execFileSync(file, ['--version'], { encoding: 'utf8' }).slice(1);
    return isAtLeast(version, [20, 0]) && !isAtLeast(version, [24, 15]);
  });
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
