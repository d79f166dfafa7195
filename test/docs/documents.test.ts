// The documents as a whole: every link leads somewhere, every term of the glossary is in use, what the architecture
// says of rooms and bytes is what the code says, and nothing is promised in commands that do not exist.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import type { Run } from '#gateway/cli/command.ts';
import { program } from '#gateway/cli/main.ts';
import { rooms } from '../architecture/rules.ts';
import { anchorsOf, markdownFiles, PROJECT, page, proseOf, rowsUnder } from './pages.ts';

const files = markdownFiles();

const sources = (): string => {
  const texts: string[] = [];
  const walk = (folder: string): void => {
    for (const entry of readdirSync(join(PROJECT, folder), { withFileTypes: true })) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) walk(path);
      else if (/\.(ts|mjs|sql|md)$/.test(path) && path !== 'docs/glossary.md') texts.push(page(path));
    }
  };
  for (const folder of [...Object.keys(rooms), 'docs']) {
    if (folder !== 'test' && existsSync(join(PROJECT, folder))) walk(folder);
  }
  return texts.join('\n');
};

describe('the documents', () => {
  it('are all there', () => {
    expect(files).to.include.members([
      'README.md',
      'CONTRIBUTING.md',
      'SECURITY.md',
      'CHANGELOG.md',
      'docs/glossary.md',
    ]);
    expect(readFileSync(join(PROJECT, 'LICENSE'), 'utf8'))
      .to.include('Apache License')
      .and.include('END OF TERMS');
  });

  for (const file of files) {
    it(`${file}: every link leads somewhere`, () => {
      const text = page(file);
      for (const [link, target = ''] of proseOf(text).matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(target)) {
          expect(URL.canParse(target), link).to.equal(true);
          continue;
        }
        const [path = '', anchor] = target.split('#');
        const full = path === '' ? file : join(dirname(file), path);
        expect(existsSync(join(PROJECT, full)), `${link} of ${file}`).to.equal(true);
        if (anchor !== undefined) expect([...anchorsOf(page(full))], `${link} of ${file}`).to.include(anchor);
      }
    });
  }

  it('name no file of ours that is not there', () => {
    let named = 0;
    for (const file of files.filter((path) => path !== 'CONTRIBUTING.md')) {
      for (const [, path = ''] of page(file).matchAll(
        /`((?:schemas|proofs|streams|commands|projectors|gateway|deploy|test|docs)\/[\w./-]+)`/g,
      )) {
        named += 1;
        expect(existsSync(join(PROJECT, path)), `${path}, named in ${file}`).to.equal(true);
      }
    }
    expect(named).to.be.greaterThan(40);
  });

  it('use no script of npm that package.json does not have', () => {
    const { scripts } = JSON.parse(page('package.json')) as { readonly scripts: object };
    const used = files.flatMap((file) =>
      [...page(file).matchAll(/(?:`|^)npm (?:run )?([a-z:]+)/gm)].map(([, script = '']) => script),
    );
    expect(used.length).to.be.greaterThan(10);
    // npm's own, and no script.
    const own = new Set(['install']);
    for (const script of used.filter((name) => !own.has(name)))
      expect(scripts, `npm run ${script}`).to.have.property(script);
  });

  it('use no command of prov-ledger that does not exist', async () => {
    const root = await program({ world: { version: '0.0.0' } } as unknown as Run);
    const known = new Map(
      root.commands.map((command) => [command.name(), command.commands.map((child) => child.name())]),
    );
    let used = 0;
    for (const file of files) {
      for (const [line, name = '', child = ''] of page(file).matchAll(
        /(?:`|^|\$\()prov-ledger ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?/gm,
      )) {
        used += 1;
        const children = known.get(name);
        expect(children, `${line} in ${file}`).to.not.equal(undefined);
        if (children && children.length > 0 && child !== '')
          expect(children, `${line} in ${file}`).to.include(child);
      }
    }
    expect(used).to.be.greaterThan(15);
  });
});

describe('docs/glossary.md', () => {
  const terms = rowsUnder(page('docs/glossary.md'), 'Glossary').map(([term = '']) =>
    term.replaceAll('*', ''),
  );

  it('is in the order of the alphabet, each term once', () => {
    expect(terms.length).to.be.greaterThan(50);
    const lower = terms.map((term) => term.toLowerCase());
    expect(lower).to.deep.equal([...new Set(lower)].sort());
  });

  it('has terms that are used in code or documents', () => {
    const text = sources();
    for (const term of terms.flatMap((row) => row.split(', '))) {
      const words = term.replaceAll(/[ -]/g, '[ _\\s-]*');
      expect(new RegExp(`(?<![a-z])${words}(?:s|es)?(?![a-z])`, 'i').test(text), term).to.equal(true);
    }
  });
});

describe('docs/architecture.md', () => {
  const text = page('docs/architecture.md');

  it('has the rooms and the imports that the rules have', () => {
    const table = rowsUnder(text, 'Rooms').map(
      ([room = '', , imports = '']) => [room.replaceAll('`', ''), imports] as const,
    );
    const present = Object.keys(rooms).filter((room) => existsSync(join(PROJECT, room)));
    expect(table.map(([room]) => room)).to.deep.equal(present);
    for (const [index, [room, imports]] of table.entries()) {
      const allowed = (rooms[room]?.imports ?? []).filter((other) => present.includes(other));
      const above = present.slice(0, index);
      const said =
        imports === 'nothing'
          ? []
          : /^all of|^everything/.test(imports)
            ? above
            : imports.split(' ').map((name) => name.replaceAll('`', ''));
      expect(said, room).to.deep.equal(allowed);
    }
  });

  it('has the layouts of docs/verifying.md, whose bytes are tested', () => {
    const other = page('docs/verifying.md');
    expect(rowsUnder(text, 'The hash')).to.deep.equal(rowsUnder(other, '1. The hash of a fact'));
    expect(rowsUnder(text, 'The signed commit batch')).to.deep.equal(rowsUnder(other, '4. The signature'));
  });

  it('names every table of the ledger', () => {
    const migrations = join(PROJECT, 'streams/postgres/migrations');
    const sql = readdirSync(migrations)
      .map((file) => readFileSync(join(migrations, file), 'utf8'))
      .join('\n');
    const tables = [...sql.matchAll(/CREATE TABLE (ledger\.\w+)/g)].map(([, name]) => `\`${name}\``);
    expect(rowsUnder(text, 'Storage').map(([name]) => name)).to.have.members(tables);
  });
});

describe('docs/decisions', () => {
  const folder = join(PROJECT, 'docs/decisions');
  for (const name of readdirSync(folder)) {
    it(`${name} has its parts, and stands in docs/README.md`, () => {
      expect(statSync(join(folder, name)).size).to.be.lessThan(6_000);
      const text = page(`docs/decisions/${name}`);
      expect(text).to.match(/^# \d+\. .+\n\nStatus: (accepted|replaced by .+), \d{4}-\d{2}-\d{2}\n/);
      expect([...text.matchAll(/^## (.+)$/gm)].map(([, part]) => part)).to.deep.equal([
        'Context',
        'Decision',
        'Alternatives',
        'Consequences',
      ]);
      expect(page('docs/README.md')).to.include(`decisions/${name}`);
    });
  }
});
