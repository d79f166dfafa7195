// The digest that JavaScript computes from rows is the one that PostgreSQL computes from its table.
import { createHash } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import type { AnyProjector } from '#projectors/batch.ts';
import { modelDigest, rowForm, rowHash } from '#projectors/digest.ts';
import { rowHashesSql, rowLineSql } from '#projectors/postgres/digest.ts';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { tableOf } from '#projectors/postgres/statements.ts';
import type { ColumnType, Row } from '#projectors/projector.ts';
import { beginning, positionOf } from '#projectors/sink.ts';
import { json } from '#test/support/arbitraries.ts';
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

const everything: AnyProjector = {
  name: 'everything',
  version: 1,
  handles: ['test.Set'],
  columns,
  key: ['day', 'id'],
  keys: ({ data }: { data: Row }) => [[data['day'] as string, data['id'] as string]],
  fold: (_row: Row | undefined, { data }: { data: Row }) => data,
};

const text = fc.string({ unit: 'grapheme' }).filter((each) => !each.includes('\0') && each.isWellFormed());
const rows = fc.uniqueArray(
  fc.record({
    id: text,
    day: fc.constantFrom('0001-01-01', '2026-02-28', '9999-12-31'),
    big: fc.maxSafeInteger(),
    small: fc.integer(),
    yes: fc.boolean(),
    at: fc.option(fc.integer({ min: -62_135_596_800_000, max: 253_402_300_799_999 })),
    json: fc.option(json),
    texts: fc.option(fc.array(text)),
    bytes: fc.option(fc.uint8Array().map((bytes) => Buffer.from(bytes).toString('hex'))),
  }),
  { minLength: 60, maxLength: 60, selector: (row) => `${row.day} ${row.id}` },
);

describe('the digest of a table', () => {
  let db: ProjectionDatabase;
  before(async () => {
    db = await projectionDatabase([everything], new URL('../tables/', import.meta.url));
  });
  after(async () => {
    await db[Symbol.asyncDispose]();
  });

  it('is what the rows give that were folded into it, whatever they hold', async () => {
    const [sample] = fc.sample(rows, { numRuns: 1, seed: 7 }) as unknown as [Row[]];
    const facts = chain(
      ACME,
      sample.map((data) => ({ type: 'test.Set', data })),
    );
    const result = await postgresRowSink(db).apply(everything, {
      tenant: ACME,
      from: beginning(ACME),
      to: positionOf(facts.at(-1) as (typeof facts)[0]),
      facts: facts.map(decode),
    });
    expect(result).to.deep.equal({ kind: 'applied' });
    const { line } = rowForm(everything);
    const ours = sample.map((row) => line(ACME, JSON.parse(JSON.stringify(row)) as Row)).sort();
    // Another zone and another locale than the digest's own must not matter.
    const { rows: theirs } = await db.pool.query<{ line: string }>(
      `SELECT ${rowLineSql(everything)} AS line FROM ${tableOf(everything)} t`,
    );
    expect(theirs.map((row) => row.line).sort()).to.deep.equal(ours);
    const { rows: hashes } = await db.pool.query<{ encode: string }>(rowHashesSql(everything));
    const sum = createHash('sha256').update(hashes.map(({ encode }) => `${encode}\n`).join(''));
    expect(modelDigest(Buffer.from(ours.map(rowHash).join(''), 'latin1'))).to.equal(sum.digest('hex'));
  });
});
