import { expect } from 'chai';
import type { AnyProjector } from '#projectors/batch.ts';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import type { ColumnType, Row } from '#projectors/projector.ts';
import { beginning, positionOf, type Step } from '#projectors/sink.ts';
import type { Fact, Recorded } from '#schemas/event.ts';
import { ACME, chain, type ProjectionDatabase, projectionDatabase } from '../chains.ts';
import { decode } from '../tally.ts';

const columns: { readonly [name: string]: ColumnType } = {
  id: 'text',
  day: 'date',
  big: 'bigint',
  small: 'integer',
  yes: 'boolean',
  at: 'timestamptz',
  json: 'jsonb',
  texts: 'text[]',
  bytes: 'bytea',
};

/** A row of every column type; a fact of type `test.Set` makes it, `test.Seen` counts `small` up and keeps the rest. */
const everything: AnyProjector = {
  name: 'everything',
  version: 1,
  handles: ['test.Set', 'test.Seen'],
  columns,
  key: ['day', 'id'],
  keys: ({ data }: { data: Row }) => [[data['day'] as string, data['id'] as string]],
  fold: (row: Row | undefined, { type, data }: { type: string; data: Row }) =>
    type === 'test.Set' ? data : { ...row, small: Number(row?.['small'] ?? 0) + 1 },
};

const full: Row = {
  id: 'a"\\{},ü\n',
  day: '2026-02-28',
  big: Number.MAX_SAFE_INTEGER,
  small: -5,
  yes: false,
  at: Date.UTC(1969, 11, 31, 23, 59, 59, 999),
  json: { nested: [1, 'two', null, { three: 3.5 }] },
  texts: ['a', 'b"c\\d', '', 'NULL', '{x,y}', 'ø\n'],
  bytes: '00ff10',
};
const empty: Row = {
  id: '',
  day: '0001-01-01',
  big: null,
  small: null,
  yes: null,
  at: null,
  json: null,
  texts: null,
  bytes: null,
};

const TABLES = new URL('../tables/', import.meta.url);

describe('the PostgreSQL row sink', () => {
  let db: ProjectionDatabase;
  let table: string;
  beforeEach(async () => {
    db = await projectionDatabase([everything], TABLES);
    table = 'projections.everything_v1';
  });
  afterEach(() => db[Symbol.asyncDispose]());

  const factsOf = (...rows: readonly (Row & { type?: string })[]): readonly Recorded[] =>
    chain(
      ACME,
      rows.map(({ type = 'test.Set', ...data }) => ({ type, data })),
    );

  const stepOver = (facts: readonly Recorded[], from = beginning(ACME)): Step => ({
    tenant: ACME,
    from,
    to: positionOf(facts.at(-1) as Recorded),
    facts: facts.filter(({ seq }) => seq > from.seq).map(decode) as readonly Fact[],
  });

  it('gives a fold back the values it was given, of every column type, and NULL as null', async () => {
    const seen: (Row | undefined)[] = [];
    const watching: AnyProjector = {
      ...everything,
      fold: (row: Row | undefined, fact: Fact) => (seen.push(row), everything.fold(row, fact as never, [])),
    };
    const sink = postgresRowSink({ pool: db.pool });
    const made = factsOf(full, empty);
    expect(await sink.apply(everything, stepOver(made))).to.deep.equal({ kind: 'applied' });
    const more = factsOf(full, empty, { ...full, type: 'test.Seen' }, { ...empty, type: 'test.Seen' });
    const [checkpoint] = await sink.checkpoints(everything, ACME);
    expect(await sink.apply(watching, stepOver(more, checkpoint))).to.deep.equal({ kind: 'applied' });
    expect(seen).to.deep.equal([full, empty]);
    const { rows } = await db.pool.query(`SELECT small FROM ${table} ORDER BY small`);
    expect(rows).to.deep.equal([{ small: -4 }, { small: 1 }]);
  });

  it('writes the same rows by COPY as by INSERT', async () => {
    const inserts: AnyProjector = { ...everything, insertOnly: true };
    const sink = postgresRowSink({ pool: db.pool });
    const rows = Array.from({ length: 1200 }, (_, index) => ({
      ...(index % 2 ? full : empty),
      id: `row ${index}`,
    }));
    const facts = factsOf(...rows);
    const few = facts.slice(0, 3);
    await sink.apply(inserts, stepOver(few));
    await sink.apply(inserts, stepOver(facts, (await sink.checkpoints(inserts, ACME))[0]));
    const { rows: kinds } = await db.pool.query(
      `SELECT count(*), big, yes, at, json, texts, bytes FROM ${table} GROUP BY big, yes, at, json, texts, bytes ORDER BY big`,
    );
    expect(kinds.map(({ count }) => count)).to.deep.equal([600, 600]);
  });

  it('refuses a step from anywhere but the checkpoint, and changes nothing', async () => {
    const sink = postgresRowSink({ pool: db.pool });
    const facts = factsOf(full, empty);
    await sink.apply(everything, stepOver(facts.slice(0, 1)));
    const [checkpoint] = await sink.checkpoints(everything);
    expect(await sink.apply(everything, stepOver(facts)), 'from the beginning again').to.deep.equal({
      kind: 'overtaken',
    });
    const other = { ...beginning(ACME), ...checkpoint, hash: 'f'.repeat(64) as never };
    expect(await sink.apply(everything, stepOver(facts, other)), 'another hash').to.deep.equal({
      kind: 'overtaken',
    });
    expect(await sink.checkpoints(everything)).to.deep.equal([checkpoint]);
    expect((await db.pool.query(`SELECT FROM ${table}`)).rowCount).to.equal(1);
  });

  for (const [what, wrong] of Object.entries({
    'a number for a text': { id: 5 },
    'a day that is none': { day: '2026-02-30x' },
    'year 10000': { day: '+010000-01' },
    'a fraction': { big: 0.5 },
    'more than 32 bits': { small: 2 ** 31 },
    'half a byte': { bytes: 'abc' },
    'no time at all': { at: 'today' },
    'a NUL': { id: 'a\0' },
    'a NUL in JSON': { json: { a: '\0' } },
    'a time PostgreSQL has not': { at: -9e15 },
  })) {
    it(`refuses ${what}, and changes nothing`, async () => {
      const sink = postgresRowSink({ pool: db.pool });
      const result = await sink.apply(everything, stepOver(factsOf({ ...full, ...(wrong as object) })));
      expect(result).to.have.property('kind', 'refused');
      expect(await sink.checkpoints(everything)).to.deep.equal([]);
      expect((await db.pool.query(`SELECT FROM ${table}`)).rowCount).to.equal(0);
    });
  }
});
