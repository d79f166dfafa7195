// CONTRIBUTING.md run as it stands: its domain is put into a copy of this tree, and must pass what every domain passes.
import { spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { freshDatabase } from '#test/support/postgres.ts';
import { type Block, blocksOf, PROJECT, page } from './pages.ts';

const LEFT_OUT = new Set(['node_modules', '.git', '.data', 'coverage']);

/**
 * Applies a block of ` context`, `-old` and `+new` lines, in the order of the file. New lines stand behind the line
 * before them in the block; those at its beginning, in front of the first one.
 */
const patched = (source: string, { text, label }: Block): string => {
  const lines = source.split('\n');
  const leading: string[] = [];
  let at: number | undefined;
  for (const line of text.trimEnd().split('\n')) {
    const content = line.slice(1);
    if (line.startsWith('+')) {
      if (at === undefined) leading.push(content);
      else lines.splice(at++, 0, content);
      continue;
    }
    at = lines.indexOf(content, at);
    if (at === -1)
      throw new Error(`CONTRIBUTING.md: ${label} has no line "${content}" where the guide expects it`);
    lines.splice(at, 0, ...leading);
    at += leading.splice(0).length;
    if (line.startsWith('-')) lines.splice(at, 1);
    else at += 1;
  }
  return lines.join('\n');
};

describe('CONTRIBUTING.md: adding a domain', function () {
  this.timeout(300_000);
  const blocks = blocksOf(page('CONTRIBUTING.md')).filter(({ label }) => label !== '');
  const files = blocks.filter(({ language }) => language !== 'diff');
  let copy: string;

  before(() => {
    copy = mkdtempSync(join(tmpdir(), 'prov-ledger-guide-'));
    cpSync(PROJECT, copy, {
      recursive: true,
      filter: (path) =>
        path === PROJECT || !LEFT_OUT.has(path.slice(PROJECT.length + 1).split(/[\\/]/)[0] ?? ''),
    });
    symlinkSync(join(PROJECT, 'node_modules'), join(copy, 'node_modules'), 'junction');
    for (const { label, text } of files) {
      mkdirSync(dirname(join(copy, label)), { recursive: true });
      writeFileSync(join(copy, label), text, { flag: 'wx' });
    }
    for (const block of blocks.filter(({ language }) => language === 'diff')) {
      const path = join(copy, block.label);
      writeFileSync(path, patched(readFileSync(path, 'utf8'), block));
    }
  });
  after(() => rmSync(copy, { recursive: true, force: true }));

  /** Runs an installed program in the copy; resolves to its exit code and its output. */
  const run = async (program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) => {
    const child = spawn(process.execPath, [join('node_modules', program), ...args], {
      cwd: copy,
      env: { ...process.env, ...env, NO_COLOR: '1', FORCE_COLOR: '0', TEST_TOTALS: '' },
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const code = await new Promise<number | null>((done) => child.once('close', done));
    return { code, said };
  };
  const mocha = (paths: readonly string[], env?: NodeJS.ProcessEnv) =>
    run('mocha/bin/mocha.js', ['--reporter', 'dot', ...paths], env);

  it('gives every part that the architecture asks of a domain, and breaks no rule', async () => {
    const { code, said } = await mocha(['test/architecture.test.ts']);
    expect(code, said).to.equal(0);
  });

  it('has tests that pass beside those of the other domains', async () => {
    const { code, said } = await mocha([
      'test/schemas/*.test.ts',
      'test/commands/*.test.ts',
      'test/projectors/objections.test.ts',
      'test/replay-harness/fixtures/*.test.ts',
    ]);
    expect(code, said).to.equal(0);
    expect(files.filter(({ label }) => label.endsWith('.test.ts'))).to.have.length(3);
  });

  it('has tests that can fail: with a planted fault they do', async () => {
    const path = join(copy, 'commands/objections.ts');
    const sound = readFileSync(path, 'utf8');
    writeFileSync(path, sound.replace("if (standing !== 'open')", "if (standing === 'absent')"));
    const { code, said } = await mocha(['test/commands/objections.test.ts']);
    writeFileSync(path, sound);
    expect(said).to.include('an objection is decided once');
    expect(code).to.equal(1);
  });

  it('is formatted and passes the linter', async () => {
    const code = files.map(({ label }) => label).filter((label) => label.endsWith('.ts'));
    const formatted = await run('@biomejs/biome/bin/biome', ['check', '--vcs-enabled=false', ...code]);
    expect(formatted.code, formatted.said).to.equal(0);
    expect(formatted.said).to.include(`Checked ${code.length} files`);
    const linted = await run('oxlint/bin/oxlint', ['--deny-warnings', ...code]);
    expect(linted.code, linted.said).to.equal(0);
  });

  it('has the types right', async () => {
    // What the guide's files reach: all of the tree is checked by itself.
    const touched = blocks.map(({ label }) => label).filter((label) => label.endsWith('.ts'));
    writeFileSync(
      join(copy, 'tsconfig.guide.json'),
      JSON.stringify({ extends: './tsconfig.json', include: [], files: touched }),
    );
    const { code, said } = await run('typescript/bin/tsc', ['--project', 'tsconfig.guide.json']);
    expect(said).to.not.include('objections');
    expect(code, said).to.equal(0);
  });

  it('makes a read model that the database takes, commented as all of them are', async () => {
    await using database = await freshDatabase();
    const { code, said } = await mocha(['test/projectors/postgres/read-models.integration.test.ts'], {
      PROV_TEST_DATABASE_URL: database.url,
    });
    expect(code, said).to.equal(0);
  });
});
