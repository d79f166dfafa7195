import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { avroReader, fromAvro, OPAQUE, toAvro } from '#schemas/codec.ts';
import { domains } from '#schemas/index.ts';
import {
  KNOWN_IDS_FILE,
  knownIds,
  knownSchema,
  RELEASED_FILE,
  recordText,
  released,
  withIds,
  withReleased,
} from '#schemas/registry/released.ts';
import { changes, type Subject, subjects } from '#schemas/registry/subjects.ts';

const field = (name: string, type: unknown, rest: object = {}) => ({ name, type, ...rest });
const record = (...fields: object[]): Subject => ({
  name: 'tests.Said',
  schema: JSON.stringify({ type: 'record', name: 'Said', namespace: 'tests', fields }),
});
const text = field('text', 'string');
const level = (...symbols: string[]) => field('level', { type: 'enum', name: 'Level', symbols });

/** What becomes of a subject released as `before` that is now `now`. */
const kindOf = (before: Subject, now: Subject) => {
  const [change] = changes([now], withReleased({}, [before]));
  return change?.kind;
};

describe('schemas/registry', () => {
  it('has a subject for every event, and one for facts of no event known here', () => {
    expect(subjects().map(({ name }) => name)).to.have.members([
      ...domains.flatMap(({ events }) => Object.keys(events)),
      OPAQUE,
    ]);
  });

  it('breaks nothing that was released', () => {
    expect(changes().filter(({ kind }) => kind === 'breaking')).to.deep.equal([]);
  });

  it('takes what readers of any version read', () => {
    const optional = field('more', ['null', 'string'], { default: null });
    expect(kindOf(record(text), record(text))).to.equal('unchanged');
    expect(kindOf(record(text), record(text, optional))).to.equal('compatible');
    expect(kindOf(record(text, optional), record(text))).to.equal('compatible');
    expect(changes([record(text)], {})).to.have.nested.property('[0].kind', 'new');
  });

  it('names what a change would make unreadable, and by whom', () => {
    for (const [before, now] of [
      [record(text), record(text, field('more', 'string'))],
      [record(text, field('more', 'string')), record(text)],
      [record(text), record(field('text', 'int'))],
      [record(text), record(field('words', 'string'))],
      [record(level('low')), record(level('low', 'high'))],
      [record(level('low', 'high')), record(level('low'))],
    ] as const) {
      const [change] = changes([now], withReleased({}, [before]));
      expect(change?.kind, now.schema).to.equal('breaking');
      expect(change?.reasons.join()).to.match(/version 1/);
    }
    expect(changes([], withReleased({}, [record(text)]))).to.have.nested.property('[0].kind', 'breaking');
  });

  it('compares with every released version, not with the last alone', () => {
    const more = field('more', ['null', 'string'], { default: null });
    const versions = withReleased(withReleased({}, [record(text, more)]), [record(text)]);
    expect(changes([record(text, { ...more, type: ['null', 'int'] })], versions)).to.have.nested.property(
      '[0].kind',
      'breaking',
    );
  });

  it('reads what an older schema wrote as the event of today, and refuses a schema of no event', () => {
    const now = subjects().find(({ name }) => name === 'tenants.TokenRevoked') as Subject;
    const older = JSON.parse(now.schema) as { fields: { name: string }[] };
    older.fields = older.fields.filter(({ name }) => name !== 'reason');
    const bytes = toAvro('tenants.TokenRevoked', { token_id: 't-1' }, String);
    // Without the union's branch of `reason`, which is one byte.
    const written = bytes.subarray(0, -1);
    expect(avroReader(older, JSON.parse).read(written)).to.deep.equal({ token_id: 't-1' });
    expect(() => fromAvro('tenants.TokenRevoked', written)).to.throw();
    expect(() => avroReader(JSON.parse(record(text).schema), JSON.parse)).to.throw('tests.Said');
  });

  it('keeps its files in the form they are written in', () => {
    expect(readFileSync(RELEASED_FILE, 'utf8')).to.equal(recordText(released()));
    expect(readFileSync(KNOWN_IDS_FILE, 'utf8')).to.equal(recordText(knownIds()));
  });

  it('knows what the ids of one registry stand for, and of no other', () => {
    const versions = released();
    const ids = new Map(Object.keys(versions).map((subject, index) => [subject, index + 11]));
    const known = withIds({}, 'http://registry', { ids, versions });
    expect(JSON.parse(recordText(known))).to.deep.equal(known);
    for (const [subject, id] of ids)
      expect(knownSchema(known, 'http://registry', id)).to.deep.equal(versions[subject]?.at(-1));
    expect(knownSchema(known, 'http://registry', 1)).to.equal(undefined);
    expect(knownSchema(known, 'http://other', 11)).to.equal(undefined);
  });
});
