// npm run fault:unprotected [-- --only clock]: each protection of protections.ts is taken out of a copy of the program, and
// its test run there. Ends with 1 when a test passes without its protection, or fails with it.
import { execFile, execFileSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Protection, protections } from './protections.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const { values } = parseArgs({ options: { only: { type: 'string', default: '' } } });

interface TestRun {
  readonly passes: number;
  /** What the first one that failed said. */
  readonly failure: string | undefined;
}

/** The tests of that title, in a copy of the program. */
const tested = async (copy: string, { test, title }: Protection): Promise<TestRun> => {
  const args = ['node_modules/mocha/bin/mocha.js', '--reporter', 'json', test, '--fgrep', title];
  const said = await new Promise<string>((resolve) => {
    execFile(process.execPath, args, { cwd: copy, maxBuffer: 1 << 26 }, (_, stdout) => resolve(stdout));
  });
  const start = said.indexOf('{\n  "stats"');
  if (start === -1) throw new Error(`${test} did not run: ${said.slice(0, 400)}`);
  const { stats, failures } = JSON.parse(said.slice(start)) as {
    readonly stats: { readonly passes: number };
    readonly failures: readonly { readonly err: { readonly message?: string } }[];
  };
  const [first] = failures;
  return { passes: stats.passes, failure: first && (first.err.message ?? 'it failed').split('\n')[0] };
};

const copyOf = async (folder: string): Promise<string> => {
  const files = execFileSync('git', ['ls-files', '-z'], { cwd: ROOT, maxBuffer: 1 << 26 });
  for (const file of files.toString('utf8').split('\0').filter(Boolean)) {
    await mkdir(join(folder, dirname(file)), { recursive: true });
    await cp(join(ROOT, file), join(folder, file), { recursive: true, verbatimSymlinks: true });
  }
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  return folder;
};

const copy = await copyOf(await mkdtemp(join(tmpdir(), 'prov-ledger-unprotected-')));
try {
  for (const protection of protections.filter(({ fault }) => fault.includes(values.only))) {
    const file = join(copy, protection.file);
    const text = await readFile(file, 'utf8');
    const whole = await tested(copy, protection);
    await writeFile(
      file,
      text.replace(protection.line, () => protection.without),
    );
    const { failure } = await tested(copy, protection);
    await writeFile(file, text);
    const shown = whole.failure === undefined && whole.passes > 0 && failure !== undefined;
    if (!shown) process.exitCode = 1;
    console.log(`${shown ? 'shown ' : 'MISSED'} ${protection.fault}`);
    console.log(`       ${protection.file}: ${protection.line.trim().split('\n')[0]}`);
    console.log(
      `       with it ${whole.failure ?? `${whole.passes} pass`}; without: ${failure ?? 'all pass'}`,
    );
  }
} finally {
  await rm(copy, { recursive: true });
}
