// How .ci/run divides the test files: each is in one of its runs, and those that want the one graph are in the same.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { importsOf, tokensOf } from '../architecture/tokens.ts';
import { readTree } from '../architecture/tree.ts';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url));
const GRAPH = 'test/support/neo4j.ts';

const { files } = readTree(PROJECT);
const tests = [...files.keys()].filter((path) => path.startsWith('test/') && path.endsWith('.test.ts'));

const importsByFile = new Map<string, readonly string[]>();

/** The project's own files that this one imports. */
const imported = (path: string): readonly string[] => {
  const found =
    importsByFile.get(path) ??
    importsOf(tokensOf(files.get(path) ?? '')).flatMap(({ specifier }) => {
      if (specifier.startsWith('#')) return [specifier.slice(1)];
      return specifier.startsWith('.') ? [join(path, '..', specifier).replaceAll('\\', '/')] : [];
    });
  importsByFile.set(path, found);
  return found;
};

/** Files of `test` that this one reaches by imports. */
const reached = (path: string, seen = new Set<string>()): ReadonlySet<string> => {
  if (seen.has(path) || !path.startsWith('test/')) return seen;
  seen.add(path);
  for (const next of imported(path)) reached(next, seen);
  return seen;
};

/** The run of each test file, as the script itself says. */
const runsOf = (paths: readonly string[]): ReadonlyMap<string, string> => {
  const script = readFileSync(join(PROJECT, '.ci/run'), 'utf8');
  const [runOf = ''] = /^run_of\(\) \{\n[^]*?^\}$/m.exec(script) ?? [];
  const asked = spawnSync('bash', ['-c', `${runOf}\nwhile read -r path; do run_of "$path"; done`], {
    input: `${paths.join('\n')}\n`,
    encoding: 'utf8',
  });
  expect(asked.status, asked.stderr).to.equal(0);
  const said = asked.stdout.trim().split('\n');
  expect(said).to.have.length(paths.length);
  const known = /^runs=\((.*)\)$/m.exec(script)?.[1]?.split(' ') ?? [];
  expect(known).to.include.members([...new Set(said)]);
  return new Map(paths.map((path, index) => [path, said[index] as string]));
};

describe('the runs of CI', () => {
  it('have every test file, each in one of them', () => {
    const runs = runsOf(tests);
    expect(runs.size).to.be.greaterThan(200);
    expect(new Set(runs.values()).size).to.equal(4);
  });

  it('have all tests that want a graph in the same: each empties the one that there is', () => {
    const graphs = tests.filter((path) => reached(path).has(GRAPH));
    expect(graphs).to.include('test/projectors/neo4j/sink.integration.test.ts');
    const elsewhere = [...runsOf(graphs)].filter(([, run]) => run !== 'graph');
    expect(elsewhere).to.deep.equal([]);
  });
});
