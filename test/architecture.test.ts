import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { sourceCounts, type Tree, violations } from './architecture/check.ts';
import { rooms } from './architecture/rules.ts';
import { importsOf, namesInConstant, tokensOf } from './architecture/tokens.ts';
import { readTree } from './architecture/tree.ts';

const LAW = '// The law.\n';

// The smallest house that keeps every rule: one domain, each room with a file.
const sound: Readonly<Record<string, string>> = {
  'schemas/event.ts': LAW,
  'schemas/index.ts':
    "import { appeals } from './appeals.ts';\nexport const domains: readonly Domain[] = [\n  appeals,\n];\n",
  'schemas/appeals.ts':
    "import type { Event } from './event.ts';\nimport { Type } from '@sinclair/typebox';\nexport const appeals = Type;\n",
  'schemas/appeals.avsc': '',
  'proofs/chain.ts': `${LAW}import { createHash } from 'node:crypto';\n`,
  'streams/stream.ts': `${LAW}import type { Event } from '#schemas/event.ts';\n`,
  'streams/postgres/store.ts': "import pg from 'pg';\n",
  'commands/decider.ts': LAW,
  'commands/run.ts': "import { append } from '#streams/stream.ts';\nexport const now = Date.now();\n",
  'commands/index.ts': 'export const deciders = { appeals } as const;\n',
  'commands/appeals.ts':
    "import type { Decider } from './decider.ts';\nimport { appeals as schema } from '#schemas/appeals.ts';\n",
  'projectors/projector.ts': LAW,
  'projectors/index.ts': 'export const projectorsByDomain = {\n  appeals: [appeals, daily],\n} as const;\n',
  'projectors/appeals.ts': 'export const at = (text: string): number => new Date(text).getTime();\n',
  'projectors/appeals.sql': '',
  'projectors/appeals_daily.sql': '',
  'sagas/saga.ts': LAW,
  'sagas/index.ts':
    "export const sagas = {};\nexport const absent = { appeals: 'no saga: nothing follows' };\n",
  'gateway/http/server.ts': "import { fastify } from 'fastify';\n",
  'deploy/processes/start.ts':
    "import { serve } from '#gateway/http/server.ts';\nexport const url = process.env['DATABASE_URL'];\n",
  'test/schemas/appeals.test.ts': '',
  'test/commands/appeals.test.ts': '',
  'test/projectors/appeals.integration.test.ts': '',
  'docs/domains/appeals.md': '',
  'package.json': '{}',
};

type Change = Readonly<Record<string, string | undefined>>;

function treeWith(change: Change, emptyFolders: readonly string[] = []): Tree {
  const files = new Map(
    Object.entries({ ...sound, ...change }).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    ),
  );
  const folders = new Set(
    [...files.keys()].flatMap((path) =>
      path
        .split('/')
        .slice(0, -1)
        .map((_, i, parts) => parts.slice(0, i + 1).join('/')),
    ),
  );
  for (const folder of emptyFolders) folders.add(folder);
  return { files, folders };
}

const HARNESS = {
  'replay-harness/replay.ts': LAW,
  'replay-harness/index.ts': 'export const generators = { appeals: appealsFixture } as const;\n',
  'schemas/appeals.fixture.ts': '',
};

describe('the architecture check', () => {
  it('passes a sound house', () => expect(violations(treeWith({}))).to.deep.equal([]));
  it('passes a generator of fixtures beside the domain', () =>
    expect(violations(treeWith(HARNESS))).to.deep.equal([]));
  it('lets sagas see the types of commands', () => {
    const source = "import type { Command } from '#commands/appeals.ts';\n";
    expect(violations(treeWith({ 'sagas/run.ts': source }))).to.deep.equal([]);
  });

  const planted: [what: string, change: Change, breach: RegExp][] = [
    [
      'an upward import',
      { 'schemas/ids.ts': "import { append } from '#streams/stream.ts';" },
      /^schemas\/ids\.ts:1: schemas may not import from streams; allowed: none$/,
    ],
    [
      'an upward import of a type',
      { 'proofs/a.ts': "\nimport type { A } from '#gateway/a.ts';" },
      /^proofs\/a\.ts:2: proofs may not import from gateway/,
    ],
    [
      'an upward re-export',
      { 'streams/a.ts': "export * from '#commands/a.ts';" },
      /^streams\/a\.ts:1: streams may not import from commands/,
    ],
    [
      'an upward dynamic import',
      { 'streams/a.ts': "const a = await import('#deploy/a.ts');" },
      /^streams\/a\.ts:1: streams may not import from deploy/,
    ],
    [
      'a dynamic import of a computed path',
      { 'streams/a.ts': 'const a = await import(name);' },
      /^streams\/a\.ts:1: imports a computed path/,
    ],
    [
      'commands that import projectors',
      { 'commands/run.ts': "import { fold } from '#projectors/run.ts';" },
      /^commands\/run\.ts:1: commands may not import from projectors/,
    ],
    [
      'projectors that import commands',
      { 'projectors/run.ts': "import { fold } from '#commands/run.ts';" },
      /^projectors\/run\.ts:1: projectors may not import from commands/,
    ],
    [
      'sagas that import more of commands than types',
      { 'sagas/run.ts': "import { run } from '#commands/run.ts';" },
      /^sagas\/run\.ts:1: sagas may not import from commands/,
    ],
    [
      'source that imports tests',
      { 'deploy/a.ts': "import { a } from '#test/a.ts';" },
      /^deploy\/a\.ts:1: deploy may not import from test/,
    ],
    [
      'a way out of the room by dots',
      { 'streams/postgres/a.ts': "import { a } from '../../schemas/event.ts';" },
      /^streams\/postgres\/a\.ts:1: leaves its room by/,
    ],
    [
      'a driver in a wrong room',
      { 'gateway/http/a.ts': "import pg from 'pg';" },
      /^gateway\/http\/a\.ts:1: imports pg; its room is streams\/postgres$/,
    ],
    [
      'a driver one folder too high',
      { 'streams/a.ts': "import { to } from 'pg-copy-streams';" },
      /^streams\/a\.ts:1: imports pg-copy-streams/,
    ],
    [
      'a package that nobody gave a room',
      { 'proofs/a.ts': "import { x } from '@scope/thing/deep';" },
      /^proofs\/a\.ts:1: imports @scope\/thing, which has no room/,
    ],
    [
      'a network module in a wrong room',
      { 'streams/a.ts': "import { get } from 'node:https';" },
      /^streams\/a\.ts:1: imports node:https; allowed in: gateway, deploy$/,
    ],
    [
      'the environment read outside deploy',
      { 'gateway/a.ts': "\nconst url = process.env['URL'];" },
      /^gateway\/a\.ts:2: reads the environment/,
    ],
    [
      'the clock in a domain file',
      { 'commands/appeals.ts': 'const at = Date.now();' },
      /^commands\/appeals\.ts:1: Date\.now in a domain file/,
    ],
    [
      'new Date() in a domain file',
      { 'commands/appeals.ts': '\nconst at = new Date();' },
      /^commands\/appeals\.ts:2: new Date\(\) in a domain file/,
    ],
    [
      'randomness in a domain file',
      { 'schemas/appeals.ts': 'const n = Math.random();' },
      /^schemas\/appeals\.ts:1: Math\.random in a domain file/,
    ],
    [
      'a locale in a domain file',
      { 'projectors/appeals.ts': "const o = a.localeCompare('b');" },
      /^projectors\/appeals\.ts:1: localeCompare in a domain file/,
    ],
    [
      'a timer in a domain file',
      { 'projectors/appeals.ts': 'setTimeout(go, 1);' },
      /^projectors\/appeals\.ts:1: setTimeout in a domain file/,
    ],
    [
      'a built-in module in a domain file',
      { 'projectors/appeals.ts': "import { readFileSync } from 'node:fs';" },
      /^projectors\/appeals\.ts:1: node:fs in a domain file/,
    ],
    [
      'a missing Avro schema',
      { 'schemas/appeals.avsc': undefined },
      /^schemas\/appeals\.avsc: missing; the domain appeals needs it$/,
    ],
    ['a missing table', { 'projectors/appeals.sql': undefined }, /^projectors\/appeals\.sql: missing/],
    ['a missing command', { 'commands/appeals.ts': undefined }, /^commands\/appeals\.ts: missing/],
    [
      'a missing generator of fixtures',
      { ...HARNESS, 'schemas/appeals.fixture.ts': undefined },
      /^schemas\/appeals\.fixture\.ts: missing; the domain appeals needs it$/,
    ],
    [
      'a domain that fixtures pass over in silence',
      { ...HARNESS, 'replay-harness/index.ts': 'export const generators = {};' },
      /^replay-harness\/index\.ts: appeals is neither in `generators` nor, with its reason, in `absent`$/,
    ],
    ['a missing document', { 'docs/domains/appeals.md': undefined }, /^docs\/domains\/appeals\.md: missing/],
    [
      'a missing test',
      { 'test/commands/appeals.test.ts': undefined },
      /^test\/commands\/appeals\.test\.ts: missing/,
    ],
    [
      'a domain that a role passes over in silence',
      { 'commands/index.ts': 'export const deciders = {};' },
      /^commands\/index\.ts: appeals is neither in `deciders` nor, with its reason, in `absent`$/,
    ],
    [
      'an unregistered domain',
      { 'projectors/quotas.ts': '' },
      /^projectors\/quotas\.ts: neither machinery nor a domain listed in schemas\/index\.ts$/,
    ],
    [
      'a role that lists a domain nobody else knows',
      { 'commands/index.ts': 'export const deciders = { appeals, quotas };' },
      /^commands\/index\.ts: quotas is not a domain of schemas\/index\.ts$/,
    ],
    [
      'a table of no domain',
      { 'projectors/totals.sql': '' },
      /^projectors\/totals\.sql: a table is named after its domain/,
    ],
    [
      'what many domains meet in, without its table',
      {
        'projectors/index.ts':
          'export const projectorsByDomain = {\n  appeals: [appeals, daily],\n} as const;\nexport const acrossDomains = { totals } as const;\n',
        'projectors/totals.ts': '',
        'test/projectors/totals.test.ts': '',
      },
      /^projectors\/totals\.sql: missing/,
    ],
    [
      'what many domains meet in, with a clock in it',
      {
        'projectors/index.ts':
          'export const projectorsByDomain = {\n  appeals: [appeals, daily],\n} as const;\nexport const acrossDomains = { totals } as const;\n',
        'projectors/totals.ts': 'setTimeout(go, 1);',
        'projectors/totals.sql': '',
        'test/projectors/totals.test.ts': '',
      },
      /^projectors\/totals\.ts:1: setTimeout in a domain file/,
    ],
    ['a missing law', { 'streams/stream.ts': undefined }, /^streams\/: its law file stream\.ts is missing$/],
    [
      'a law file that states no law',
      { 'streams/stream.ts': 'export type A = 1;' },
      /^streams\/stream\.ts: must open with the law/,
    ],
    [
      'a file named after nothing',
      { 'gateway/http/helpers.ts': '' },
      /^gateway\/http\/helpers\.ts: "helpers" says nothing/,
    ],
    [
      'a folder named after nothing',
      { 'deploy/common/a.ts': '' },
      /^deploy\/common\/a\.ts: "common" says nothing/,
    ],
    ['a top-level folder that is no room', { 'services/a.ts': '' }, /^services\/: not a room of the house/],
    [
      'source that cannot be read',
      { 'gateway/a.ts': "const a = 'open;\n" },
      /^gateway\/a\.ts: cannot be read \(line 1: a string that does not end\)$/,
    ],
  ];
  for (const [what, change, breach] of planted) {
    it(`reports ${what}, and nothing else`, () => {
      const found = violations(treeWith(change));
      expect(found).to.have.length(1);
      expect(found[0]).to.match(breach);
    });
  }

  it('reports two domains that meet in commands', () => {
    const found = violations(
      treeWith({
        ...sound,
        'schemas/index.ts': 'export const domains = [appeals, quotas];',
        'commands/appeals.ts': "import { a } from '#schemas/quotas.ts';",
      }),
    );
    expect(found).to.include(
      'commands/appeals.ts:1: imports #schemas/quotas.ts; two domains meet only in projectors and sagas',
    );
  });
  it('reports an empty folder', () => {
    expect(violations(treeWith({}, ['replay-harness']))).to.deep.equal([
      'replay-harness/: empty; a folder appears with its first file',
    ]);
  });
  it('reports a room without a source file', () => {
    expect(violations(treeWith({ 'gateway/http/server.ts': undefined, 'gateway/notes.txt': '' }))).to.include(
      'gateway/: no source file was found in it',
    );
  });
  it('does not pass having looked at nothing', () => {
    const found = violations({ files: new Map(), folders: new Set() });
    expect(found).to.include('schemas/index.ts: lists no domain in `domains`');
    expect(found.filter((line) => line.endsWith('no source file was found in it'))).to.have.length(9);
  });
});

describe('the architecture of this tree', () => {
  const tree = readTree(fileURLToPath(new URL('..', import.meta.url)));

  it('keeps the rules', () => expect(violations(tree)).to.deep.equal([]));

  it('was looked at: every room has files, and every import that a plain look finds was found', () => {
    const counts = sourceCounts(tree);
    for (const [room, { later }] of Object.entries(rooms))
      if (later !== true) expect(counts.get(room), room).to.be.greaterThan(0);
    let looked = 0;
    for (const [path, text] of tree.files) {
      if (!/\.m?[jt]s$/.test(path) || path === 'test/architecture.test.ts') continue;
      const found = new Set(importsOf(tokensOf(text)).map(({ specifier }) => specifier));
      for (const [, specifier = ''] of text.matchAll(/^(?:import|export|\}) [^'"=\n]*from '([^']+)';$/gm)) {
        expect([...found], path).to.include(specifier);
        looked += 1;
      }
    }
    expect(looked).to.be.greaterThan(100);
  });
});

describe('the reader beneath it', () => {
  const specifiers = (source: string): string[] =>
    importsOf(tokensOf(source)).map(({ specifier, typeOnly }) =>
      typeOnly ? `type ${specifier}` : specifier,
    );

  const cases: [what: string, source: string, found: string[]][] = [
    [
      'named, default, namespace and bare imports',
      "import { a, type B } from 'a';\nimport b from 'b';\nimport * as c from 'c';\nimport 'd';",
      ['a', 'b', 'c', 'd'],
    ],
    [
      'types',
      "import type { A } from 'a';\nexport type { B } from 'b';\nexport type * from 'c';",
      ['type a', 'type b', 'type c'],
    ],
    [
      're-exports',
      "export { a } from 'a';\nexport * from 'b';\nexport * as c from 'c';\nexport { d };\nexport const from = 'x';",
      ['a', 'b', 'c'],
    ],
    ['an import over several lines', "import {\n  a,\n  b,\n} from 'a'", ['a']],
    ['a name called from', "import { from } from 'a';", ['a']],
    [
      'dynamic imports, also inside a template',
      "const a = await import('a'); const b = `x ${(await import('b')).c} y`;",
      ['a', 'b'],
    ],
    ['require', "const a = require('a');", ['a']],
    ['not import.meta, nor a member called import', "const a = import.meta.url; b.import('c');", []],
    [
      'not what stands in comments, strings and templates',
      "// import 'a'\n/* import 'b' */ const c = \"import 'c'\"; const d = `import 'd'`;",
      [],
    ],
    [
      'what follows a pattern with quotes and slashes',
      "const a = /['\"/]/.test(b) ? 1 / 2 / 3 : /[/'`]/u;\nimport 'c';",
      ['c'],
    ],
    ['what follows a division', "const a = (b) / c; const d = e / f;\nimport 'g';", ['g']],
    ['what follows nested templates', "const a = `${`${1}`} {`;\nimport 'b';", ['b']],
  ];
  for (const [what, source, found] of cases) {
    it(`finds ${what}`, () => expect(specifiers(source)).to.deep.equal(found));
  }

  it('names what a list holds, one level deep', () => {
    const list = (source: string): string[] | undefined => namesInConstant(tokensOf(source), 'list');
    expect(list('export const list: readonly A[] = [a, b,];')).to.deep.equal(['a', 'b']);
    expect(list("const list = { a, b: [c, { d: 1 }], 'e-f': x } as const;")).to.deep.equal(['a', 'b', 'e-f']);
    expect(list('const other = [a];')).to.equal(undefined);
  });
});
