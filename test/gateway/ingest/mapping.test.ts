import { createReadStream, existsSync, readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createGunzip } from 'node:zlib';
import { expect } from 'chai';
import fc from 'fast-check';
import { compileMapping, MAPPING_FORMAT, type Mapped } from '#gateway/ingest/mapping.ts';
import { faultsOf } from '#schemas/index.ts';

const compiled = (receipt: unknown) => {
  const result = compileMapping({ format: MAPPING_FORMAT, receipt });
  if (!result.ok) throw new Error(JSON.stringify(result.faults));
  return result.mapping.map;
};

/** What the template makes of the line, as the only member of a receipt. */
const value = (template: unknown, line: unknown): unknown => {
  const mapped = compiled({ it: template })(line);
  return mapped.ok ? mapped.receipt['it'] : mapped.message;
};

const faults = (content: unknown) => {
  const result = compileMapping(content);
  return result.ok ? [] : result.faults;
};

describe('gateway/ingest templates', () => {
  const line = {
    a: 'x',
    n: 7,
    yes: true,
    nil: null,
    o: { p: 'q', list: ['r', 's'] },
    'dot.ted': 1,
    rows: [{ k: 'u' }, { k: 'v', w: 2 }],
  };
  const cases: readonly [string, unknown, unknown][] = [
    ['a constant text', 'plain', 'plain'],
    ['a constant of another type', 7, 7],
    ['null as a constant', { $const: null }, null],
    ['a constant that looks like a template', { $const: { $from: '${a}' } }, { $from: '${a}' }],
    ['text with values put in', '${a}-${n}/${yes}', 'x-7/true'],
    ['an escaped hole', 'cost $${a} is ${n}$', 'cost ${a} is 7$'],
    ['a prefix', 'git-sha1:${o.p}', 'git-sha1:q'],
    ['a value as it is', { $from: 'o.list' }, ['r', 's']],
    ['the whole line', { $from: '.' }, line],
    ['an item by its place', '${o.list.1}', 's'],
    ['a name with a dot, by JSON Pointer', { $from: '/dot.ted' }, 1],
    ['members picked, those that are there', { $pick: ['n', 'gone', 'a'] }, { a: 'x', n: 7 }],
    ['members picked of an inner object', { $pick: ['p'], $of: 'o' }, { p: 'q' }],
    [
      'an array mapped',
      { $map: 'rows', $to: { key: '${@.k}', from: '${a}' } },
      [
        { from: 'x', key: 'u' },
        { from: 'x', key: 'v' },
      ],
    ],
    ['items mapped as they are', { $map: 'o.list', $to: '<${@}>' }, ['<r>', '<s>']],
    ['items without a value left out', { $map: 'rows', $to: { $optional: { $from: '@.w' } } }, [2]],
    ['items joined', { $join: { $from: 'o.list' }, $with: '+' }, 'r+s'],
    ['the first that is there', { $first: ['${gone}', '${nil}', '${a}'] }, 'x'],
    ['a table', { $lookup: '${a}', $in: { x: 'allow', y: 'deny' } }, 'allow'],
    ['a table with another answer', { $lookup: '${o.p}', $in: { x: 'allow' }, $else: 'deny' }, 'deny'],
    ['a condition that holds', { $when: 'n', $is: 7, $then: 'seven', $else: 'other' }, 'seven'],
    ['a condition that does not hold', { $when: 'n', $is: '7', $then: 'seven', $else: 'other' }, 'other'],
    ['presence', { $when: 'gone', $then: 'there', $else: 'absent' }, 'absent'],
    [
      'an object and an array of templates',
      { z: ['${a}', { $optional: '${gone}' }], b: { $from: 'n' } },
      { b: 7, z: ['x'] },
    ],
  ];
  for (const [title, template, expected] of cases) {
    it(title, () => {
      expect(value(template, line)).to.deep.equal(expected);
    });
  }

  it('leaves out an optional member, and says which path a needed one lacks', () => {
    expect(
      compiled({ a: '${a}', b: { $optional: '${gone}' }, c: { $when: 'gone', $then: 1 } })(line),
    ).to.deep.equal({ ok: true, receipt: { a: 'x' } });
    expect(value('${o.gone}', line)).to.equal('has no "o.gone", which the mapping needs');
    expect(value({ $when: 'a', $then: '${gone}' }, line)).to.equal('has no "gone", which the mapping needs');
  });

  it('sees own members only', () => {
    expect(value('${constructor}', line)).to.match(/has no "constructor"/);
    expect(value({ $lookup: '${a}', $in: { y: 1 } }, { a: 'toString' })).to.match(
      /"toString", which the table/,
    );
    expect(value('${a}', null)).to.match(/has no "a"/);
  });

  it('says when a value has no text', () => {
    expect(value('${o}', line)).to.match(/has an object where the mapping needs a text/);
    expect(value({ $join: { $from: 'a' } }, line)).to.match(/has no array/);
  });

  it('writes members in canonical order, so that hashing need not sort', () => {
    const mapped = compiled({ z: 1, a: 2, m: { y: 1, b: 2 } })({});
    expect(JSON.stringify(mapped.ok && mapped.receipt)).to.equal('{"a":2,"m":{"b":2,"y":1},"z":1}');
  });

  it('never throws, whatever the line is, and gives the same twice', () => {
    const map = compiled({
      a: '${a.b}',
      c: { $optional: { $pick: ['x'], $of: 'o' } },
      d: { $map: 'rows', $to: '${@}' },
    });
    fc.assert(
      fc.property(fc.jsonValue(), (any) => {
        expect(map(any)).to.deep.equal(map(structuredClone(any)));
      }),
    );
  });
});

describe('gateway/ingest compileMapping', () => {
  it('names every fault of a mapping file with its place and what to write', () => {
    const found = faults({
      format: 'other',
      extra: 1,
      receipt: {
        id: '${a..b}',
        actor: 'x${open',
        op: { $frm: 'a' },
        m: { $map: 'a' },
        i: '${@}',
        'a/b': { $from: 3 },
        j: { $join: 'a', $at: 1 },
      },
    });
    expect(found.map(({ pointer }) => pointer)).to.have.members([
      '/format',
      '/extra',
      '/receipt/id',
      '/receipt/actor',
      '/receipt/op/$frm',
      '/receipt/m',
      '/receipt/i',
      '/receipt/a~1b/$from',
      '/receipt/j/$at',
    ]);
    expect(found.every(({ message }) => message.length > 20)).to.equal(true);
  });

  it('refuses what is no mapping at all', () => {
    expect(faults([])[0]?.message).to.contain(MAPPING_FORMAT);
    expect(faults({ format: MAPPING_FORMAT })[0]?.pointer).to.equal('/receipt');
    expect(faults({ format: MAPPING_FORMAT, receipt: { $optional: { $from: '.' } } })[0]?.pointer).to.equal(
      '/receipt/$optional',
    );
  });
});

const shipped = (name: string) => {
  const result = compileMapping(
    JSON.parse(readFileSync(new URL(`../../../gateway/ingest/mappings/${name}`, import.meta.url), 'utf8')),
  );
  if (!result.ok) throw new Error(JSON.stringify(result.faults));
  return result.mapping;
};

/** Faults of a mapped receipt, once it has the tenant that the ledger fills in. */
const receiptFaults = (mapped: Mapped) =>
  mapped.ok
    ? faultsOf('receipts.ReceiptRecorded', 3, { ...mapped.receipt, tenant: 'acme' })
    : [{ pointer: '', message: mapped.message }];

describe('gateway/ingest mappings', () => {
  const commit = {
    repository: 'o/r',
    commit: 'c'.repeat(40),
    tree: 'd'.repeat(40),
    parents: ['e'.repeat(40), 'f'.repeat(40)],
    author: 'a'.repeat(16),
    authored_at: '2015-10-12T13:11:12-05:00',
    committer: 'b'.repeat(16),
    committed_at: '2015-10-12T13:11:13-05:00',
  };

  it('each shipped mapping compiles and says what it is for', () => {
    const names = readdirSync(new URL('../../../gateway/ingest/mappings/', import.meta.url));
    expect(names).to.include.members(['git-commits.json', 'identity.json']);
    for (const name of names) expect(shipped(name).description, name).to.match(/\w{3}/);
  });

  it('git-commits: a commit as a receipt', () => {
    expect(shipped('git-commits.json').map(commit)).to.deep.equal({
      ok: true,
      receipt: {
        id: `git:o/r@${commit.commit}`,
        action: 'git.commit',
        actor: commit.committer,
        decision: 'allow',
        evidence_hash: `git-sha1:${commit.tree}`,
        op_id: commit.commit,
        op_parent_id: commit.parents[0],
        inputs: {
          repository: 'o/r',
          parents: commit.parents,
          author: commit.author,
          authored_at: commit.authored_at,
        },
        created_at: commit.committed_at,
      },
    });
    expect(receiptFaults(shipped('git-commits.json').map(commit))).to.deep.equal([]);
  });

  it('git-commits: a root commit has no parent operation', () => {
    const mapped = shipped('git-commits.json').map({ ...commit, parents: [] });
    expect(mapped.ok && 'op_parent_id' in mapped.receipt).to.equal(false);
  });

  it('identity: the line is the receipt', () => {
    const receipt = { version: '0.1', id: '1' };
    expect(shipped('identity.json').map(receipt)).to.deep.equal({ ok: true, receipt });
    expect(shipped('identity.json').map('text').ok).to.equal(false);
  });

  it('git-commits: every commit of the shared file is a sound receipt with an id of its own', async function () {
    const file = new URL('../../../../shared/data/commits.ndjson.gz', import.meta.url);
    if (!existsSync(file)) return this.skip();
    const { map } = shipped('git-commits.json');
    const ids = new Set<unknown>();
    let lines = 0;
    for await (const text of createInterface({
      input: createReadStream(file).pipe(createGunzip()),
      crlfDelay: Infinity,
    })) {
      const mapped = map(JSON.parse(text));
      const [first] = receiptFaults(mapped);
      if (first) throw new Error(`line ${lines + 1}: ${first.pointer} ${first.message}`);
      ids.add(mapped.ok && mapped.receipt['id']);
      lines += 1;
    }
    expect(lines).to.equal(81_883);
    expect(ids.size).to.equal(lines);
  });
});
