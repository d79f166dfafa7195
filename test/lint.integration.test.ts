// The linter, formatter and type checker as this project sets them, shown to fail: each on a planted fault.

import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const PROJECT = fileURLToPath(new URL('..', import.meta.url));

describe('tool settings', function () {
  this.timeout(120_000);
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'prov-ledger-tools-'));
    for (const file of ['.oxlintrc.json', 'biome.json', 'tsconfig.json', 'package.json', '.gitignore']) {
      cpSync(join(PROJECT, file), join(folder, file));
    }
    symlinkSync(join(PROJECT, 'node_modules'), join(folder, 'node_modules'), 'junction');
    spawnSync('git', ['init', '-q', folder]);
    write('schemas/clean.ts', 'export const clean = (text: string): string => text.trim();\n');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const write = (file: string, text: string): void => {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  };
  const run = (program: string, ...args: string[]): { status: number | null; said: string } => {
    const done = spawnSync(process.execPath, [join(PROJECT, 'node_modules', program), ...args], {
      cwd: folder,
      encoding: 'utf8',
    });
    return { status: done.status, said: done.stdout + done.stderr };
  };
  const oxlint = (): { status: number | null; said: string } => run('oxlint/bin/oxlint', '--format=unix');
  const biome = (): { status: number | null; said: string } => run('@biomejs/biome/bin/biome', 'check');
  const tsc = (): { status: number | null; said: string } => run('typescript/bin/tsc', '--noEmit');

  it('pass clean code', () => {
    for (const tool of [oxlint, biome, tsc]) expect(tool()).to.include({ status: 0 });
  });

  const union =
    "type Shape = { type: 'a' } | { type: 'b' };\nexport function area(shape: Shape): number {\n  switch (shape.type) {\n    case 'a':\n      return 1;\n  }\n  return 0;\n}\n";
  const long = `export function long(n: number): number {\n${'  n += 1;\n'.repeat(61)}  return n;\n}\n`;
  const faults: [file: string, text: string, rule: string][] = [
    [
      'gateway/a.ts',
      'const later = async (): Promise<void> => {};\nexport const go = (): void => {\n  later();\n};\n',
      'no-floating-promises',
    ],
    ['gateway/a.ts', union, 'switch-exhaustiveness-check'],
    ['gateway/a.ts', long, 'max-lines-per-function'],
    ['gateway/a.ts', 'const a = 1;\nexport default a;\n', 'no-default-export'],
    ['gateway/a.ts', 'export const a = (x: any): number => x;\n', 'no-explicit-any'],
    ['schemas/a.ts', 'export const a = (): number => Date.now();\n', 'no-restricted-properties'],
    ['commands/a.ts', 'export const a = (): number => Math.random();\n', 'no-restricted-properties'],
    [
      'projectors/a.ts',
      "export const a = (x: string): number => x.localeCompare('b');\n",
      'no-restricted-properties',
    ],
    ['sagas/a.ts', "export const a = (): string | undefined => process.env['A'];\n", 'no-restricted-globals'],
    ['commands/a.ts', 'export const a = new Intl.NumberFormat();\n', 'no-restricted-globals'],
    [
      'projectors/a.ts',
      'export const a = (f: () => void): unknown => setTimeout(f, 1);\n',
      'no-restricted-globals',
    ],
  ];
  for (const [file, text, rule] of faults) {
    it(`oxlint reports ${rule} for ${file}: ${text.split('\n').at(-2)?.slice(0, 60)}`, () => {
      write(file, text);
      const { status, said } = oxlint();
      expect(said).to.include(rule);
      expect(status).to.equal(1);
    });
  }

  it('oxlint leaves the machinery of a role its clock', () => {
    write('commands/run.ts', 'export const now = (): number => Date.now();\n');
    expect(oxlint()).to.include({ status: 0 });
  });

  it('biome reports a line out of shape', () => {
    write('schemas/a.ts', 'export const a = "double";\n');
    const { status, said } = biome();
    expect(status).to.equal(1);
    expect(said).to.match(/format/);
  });

  it('tsc reports a wrong type, and syntax that type stripping refuses', () => {
    write('schemas/a.ts', "export const a: number = 'one';\nexport enum B {\n  C,\n}\n");
    const { status, said } = tsc();
    expect(status).to.not.equal(0);
    expect(said)
      .to.match(/TS2322/)
      .and.match(/TS1294/);
  });
});
