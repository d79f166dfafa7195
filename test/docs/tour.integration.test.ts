// The tour of README.md, word for word: `npm start` on an empty data folder, then every shell block in one shell, as
// somebody would who pastes them one after the other.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { expect } from 'chai';
import { DEFAULT_PORT } from '#deploy/configuration.ts';
import { blocksOf, PROJECT, page } from './pages.ts';

const TOUR = 'A tour of five minutes';
const readme = page('README.md');
const blocks = blocksOf(readme).filter(({ heading, language }) => heading === TOUR && language === 'sh');

interface Played {
  readonly code: number;
  readonly said: string;
}

/** Whoever pastes takes longer than this; the views follow within it. */
const PAUSE_SECONDS = 1;
const END = /^=== (\d+)$/m;

/** Runs the blocks in one shell; for each what it printed and the exit code of its last command. */
const play = async (env: NodeJS.ProcessEnv): Promise<readonly Played[]> => {
  const script = blocks.map(({ text }) => `${text}code=$?; echo; echo "=== $code"\nsleep ${PAUSE_SECONDS}\n`);
  const shell = spawn('bash', ['-c', `exec 2>&1\n${script.join('')}`], {
    cwd: PROJECT,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  shell.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await new Promise((done) => shell.once('close', done));
  const played: Played[] = [];
  for (let match = END.exec(output); match; match = END.exec(output)) {
    played.push({ code: Number(match[1]), said: output.slice(0, match.index).trim() });
    output = output.slice(match.index + match[0].length);
  }
  return played;
};

/**
 * A folder with an `npm` that does what these lines ask of it without a registry: it runs the script of package.json,
 * and installs from this project's own packages.
 */
const shims = (folder: string): string => {
  const { scripts } = JSON.parse(page('package.json')) as { readonly scripts: Record<string, string> };
  const [, ...build] = (scripts['build:sdk'] ?? '').split(' ');
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  const text = `#!/bin/bash
set -eu
if [ "$1 $2" = "run build:sdk" ]; then exec "${process.execPath}" ${build.join(' ')} "$4" >&2; fi
[ "$1 $2 $3 $5" = "install --silent --prefix express" ]
mkdir -p "$4/node_modules/@prov-ledger"
ln -s "${PROJECT}/node_modules/express" "$4/node_modules/express"
ln -s "$6" "$4/node_modules/@prov-ledger/sdk"
`;
  writeFileSync(join(bin, 'npm'), text, { mode: 0o755 });
  return bin;
};

interface Service {
  readonly process: ChildProcess;
  /** Resolves, when it has invited to try it, with what it said until then. */
  readonly ready: Promise<string>;
}

/** `npm start`, as package.json has it. */
const start = (env: NodeJS.ProcessEnv): Service => {
  const { scripts } = JSON.parse(page('package.json')) as { readonly scripts: { readonly start: string } };
  const [program, ...args] = scripts.start.split(' ');
  expect(program).to.equal('node');
  const service = spawn(process.execPath, args, { cwd: PROJECT, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let said = '';
  for (const stream of [service.stdout, service.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes('Ctrl-C stops it')) resolve(said);
    });
  }
  service.once('exit', (code) => reject(new Error(`npm start ended with ${code}:\n${said}`)));
  return { process: service, ready: promise };
};

const stop = async (service: ChildProcess): Promise<number | null> => {
  const ended = new Promise<number | null>((done) => service.once('exit', done));
  service.kill('SIGTERM');
  return await ended;
};

describe('README.md: the tour', function () {
  this.timeout(120_000);
  let folder: string;
  let service: ChildProcess | undefined;
  let played: readonly Played[] = [];
  let said = '';
  let code: number | null = null;

  before(async function () {
    if (spawnSync('curl', ['--version']).error || spawnSync('bash', ['--version']).error) this.skip();
    folder = mkdtempSync(join(tmpdir(), 'prov-ledger-tour-'));
    chmodSync(folder, 0o711);
    const { DATABASE_URL: _, ...inherited } = process.env;
    const env = {
      ...inherited,
      TMPDIR: folder,
      PROV_LEDGER_DATA_DIR: join(folder, 'data'),
      PROV_LEDGER_HTTP_PORT: '0',
    };
    const started = start(env);
    service = started.process;
    said = await started.ready;
    const [url = ''] = /http:\/\/127\.0\.0\.1:\d+/.exec(said) ?? [];
    const [, figures = ''] = /figures at +(http:\S+)\/metrics/.exec(said) ?? [];
    const PATH = `${shims(folder)}${delimiter}${process.env['PATH']}`;
    played = await play({ ...env, PATH, URL: url, FIGURES: figures });
    code = await stop(service);
  });
  after(async () => {
    if (service?.exitCode === null) await stop(service);
    if (folder) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });

  const block = (index: number): Played =>
    played[index] ?? { code: -1, said: 'the shell did not come so far' };
  const lastLine = (index: number): string => block(index).said.split('\n').at(-1) ?? '';

  it('has the blocks that are checked here, and no other', () => {
    expect(blocks).to.have.length(9);
    expect(played).to.have.length(9);
    expect(readme).to.include('npm start     #').and.to.include('npm test      #');
    expect(readme).to.include(`http://127.0.0.1:${DEFAULT_PORT}`);
  });

  it('npm start says what it did, in figures', () => {
    expect(said).to.match(/loaded +\d[\d,]* receipts? from /);
    expect(said).to.match(/chain +(its last )?[\d,]+ facts verified, [\d,]+ signatures? checked/);
    expect(said).to.match(/listening on +http:\/\/127\.0\.0\.1:\d+/);
  });

  it('shows the ledger at a glance', () => {
    expect(block(0).said).to.match(/^ledger +[0-9a-f-]{36}$/m);
    expect(block(0).said).to.match(/^demo +[\d,]+ /m);
    expect(block(0).said).to.match(/receipts v1 +current/);
    expect(block(0).code).to.equal(0);
  });

  it('publishes a receipt, and answers with it and its proof', () => {
    const { fact, proof } = JSON.parse(lastLine(1));
    expect(fact).to.include({ tenant: 'demo', type: 'receipts.ReceiptRecorded', actor: 'alice' });
    expect(fact.hash).to.match(/^[0-9a-f]{64}$/);
    expect(proof).to.include.keys('kid', 'root', 'path', 'signature');
  });

  it('answers a repetition with the very same bytes, and refuses another receipt under the id', () => {
    const published = lastLine(1);
    const [again, refused = ''] = block(2)
      .said.split('\n')
      .filter((line) => line !== '');
    expect(again).to.equal(published);
    expect(JSON.parse(refused)).to.include({ status: 409, code: 'receipt-id-taken' });
  });

  it('finds it in SQL, counted too', () => {
    expect(block(3).said).to.match(/^\d+ +alice +db\.export +deny$/m);
    expect(block(3).said).to.match(/^db\.export +deny +1$/m);
    expect(block(3).said).to.match(/^git\.commit +allow +\d+$/m);
    expect(block(3).code).to.equal(0);
  });

  it('verifies it offline', () => {
    expect(block(4).said).to.match(/verified$/);
    expect(block(4).said).to.not.include('FAILED');
    expect(block(4).code).to.equal(0);
  });

  it('does not verify the forgery, and ends with 1', () => {
    expect(block(5).said).to.match(/^FAILED +fact-hash/m);
    expect(block(5).said).to.include('NOT verified');
    expect(block(5).code).to.equal(1);
  });

  it('exports the whole chain and verifies it', () => {
    expect(block(6).said).to.match(
      /^verified: [\d,]+ facts of demo \(1 to [\d,]+\) in [\d,]+ signed batch(es)?$/m,
    );
    expect(block(6).code).to.equal(0);
  });

  it('takes the receipts of an Express service with the SDK', () => {
    expect(block(7).said).to.match(/^exported$/m);
    expect(block(7).said).to.match(/^no$/m);
    expect(block(7).code).to.equal(0);
  });

  it('shows them in SQL and in the figures, and names the page that verifies', () => {
    expect(block(8).said).to.match(/^mallory +db\.export +deny +invoices$/m);
    expect(block(8).said).to.match(/^alice +db\.export +allow +invoices$/m);
    expect(block(8).said).to.match(
      /^ledger_events_total\{tenant="demo",type="receipts\.ReceiptRecorded"\} 3$/m,
    );
    const [, ...files] = /file:\/\/(\S+) with (\S+) and (\S+)/.exec(block(8).said) ?? [];
    expect(files).to.have.length(3);
    for (const file of files) expect(existsSync(file), file).to.equal(true);
    expect(block(8).code).to.equal(0);
  });

  it('stops when told, draining', () => {
    expect(code).to.equal(0);
  });
});
