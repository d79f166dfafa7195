// A row checked as bytes gets the verdict that its decoded fact gets, whatever stands in it.
import { expect } from 'chai';
import fc from 'fast-check';
import { canonicalize, type JsonValue } from '#proofs/canonical.ts';
import { CHAIN_START, type ChainFault, linkFault, seal } from '#proofs/chain.ts';
import type { Draft, Recorded } from '#schemas/event.ts';
import { type FactId, type Instant, type Seq, type TenantId, tenantId } from '#schemas/ids.ts';
import { binaryWriter } from '#streams/postgres/binary.ts';
import { readCopyRow } from '#streams/postgres/rows.ts';
import { type RowCheck, rowCheck } from '#streams/postgres/verify/row-check.ts';

const TENANT = tenantId('acme');

type Elided = 'actor' | 'opId' | 'opParentId' | 'region';

/** What somebody with all rights could put into a row's columns. */
interface Row {
  readonly fact: Recorded;
  readonly payload?: Uint8Array;
  readonly columns?: Partial<Record<Elided, string | null>>;
  /** Microseconds added to recorded_at. */
  readonly microseconds?: number;
}

const MEMBER = { actor: 'actor', opId: 'op_id', opParentId: 'op_parent_id', region: 'region' } as const;

const column = ({ fact, columns }: Row, name: Elided): string | null => {
  const planted = columns?.[name];
  if (planted !== undefined) return planted;
  const body = JSON.parse(fact.payload) as Record<string, unknown>;
  const member =
    typeof body[MEMBER[name]] === 'string' && body[MEMBER[name]] !== '' ? body[MEMBER[name]] : undefined;
  return fact[name] === member ? null : (fact[name] ?? '');
};

const bytesOf = (row: Row): Buffer => {
  const { fact } = row;
  const writer = binaryWriter();
  const text = (value: string | null | undefined): void => {
    if (value === null || value === undefined) writer.nil();
    else writer.text(value);
  };
  writer.int8(fact.seq);
  writer.int8(9);
  writer.int8((fact.recordedAt - 946_684_800_000) * 1000 + (row.microseconds ?? 0));
  writer.timestamptz(fact.occurredAt);
  writer.int2(fact.schemaVersion);
  writer.uuid(fact.id);
  writer.hex(fact.hash);
  writer.text(fact.type);
  if (row.payload) writer.raw(row.payload);
  else writer.text(fact.payload);
  text(fact.stream);
  for (const name of ['actor', 'opId', 'opParentId', 'region'] as const) text(column(row, name));
  text(fact.traceparent);
  writer.nil();
  return Buffer.from(writer.take());
};

const checked = (check: RowCheck, row: Row): ChainFault | undefined => {
  check.take({ bytes: bytesOf(row), rows: [0] });
  return check.next();
};

const draft = (body: JsonValue, envelope: Partial<Draft> = {}): Draft => ({
  id: '00000000-0000-4000-8000-000000000001' as FactId,
  type: 'ReceiptRecorded',
  schemaVersion: 3,
  stream: undefined,
  occurredAt: 1_700_000_000_000 as Instant,
  actor: 'ada',
  opId: undefined,
  opParentId: undefined,
  traceparent: undefined,
  region: undefined,
  payload: canonicalize(body),
  parsed: undefined,
  ...envelope,
});

const sealed = (body: JsonValue, envelope: Partial<Draft> = {}): Recorded =>
  seal(draft(body, envelope), {
    tenant: TENANT,
    seq: 1 as Seq,
    prevHash: CHAIN_START.hash,
    recordedAt: 1_700_000_000_123 as Instant,
  });

const verdict = (row: Row, tenant: TenantId = TENANT): ChainFault | undefined =>
  checked(rowCheck(tenant, CHAIN_START), row);

/** By way of the decoded fact. */
const decodedVerdict = (row: Row): ChainFault | undefined =>
  linkFault(readCopyRow(bytesOf(row), 0, TENANT, CHAIN_START.hash).fact, TENANT, CHAIN_START);

const NAMES = ['actor', 'op_id', 'op_parent_id', 'region', 'a', 'zz', 'x","actor'];
const texts = fc.oneof(
  fc.constantFrom('ada', 'eve', '', '","actor":"eve', '"actor":"eve"', '{', '}', '\\', 'é', '𝄞', '\u0001'),
  fc.string({ unit: 'binary', maxLength: 12 }).filter((text) => text.isWellFormed() && !text.includes('\0')),
);
const bodies = fc.dictionary(
  fc.constantFrom(...NAMES),
  fc.oneof(
    texts,
    fc.integer(),
    fc.constant(null),
    fc.array(fc.dictionary(fc.constantFrom(...NAMES), texts, { maxKeys: 3 }), { maxLength: 2 }),
    fc.dictionary(fc.constantFrom(...NAMES), texts, { maxKeys: 4 }),
  ),
  { maxKeys: 6 },
);

describe('the check of a stored row', () => {
  it('passes what was sealed, whichever texts the payload repeats', () => {
    const optional = fc.option(
      texts.filter((text) => text !== ''),
      { nil: undefined },
    );
    fc.assert(
      fc.property(bodies, texts, optional, optional, (body, actor, opId, region) => {
        const fact = sealed(body, { actor: actor || 'ada', opId, region });
        expect(verdict({ fact })).to.equal(undefined);
      }),
      { numRuns: 2_000 },
    );
  });

  it('gives the verdict of the decoded fact when columns are changed behind the ledger’s back', () => {
    const planted = fc.option(fc.oneof(fc.constant(null), texts), { nil: undefined });
    let faults = 0;
    fc.assert(
      fc.property(bodies, texts, planted, planted, (body, actor, column1, column2) => {
        const row: Row = {
          fact: sealed(body, { actor: actor || 'ada', region: actor || undefined }),
          columns: {
            ...(column1 !== undefined && { actor: column1 }),
            ...(column2 !== undefined && { region: column2 }),
          },
        };
        const expected = decodedVerdictOrMismatch(row);
        if (expected) faults += 1;
        expect(verdict(row)).to.equal(expected);
      }),
      { numRuns: 3_000 },
    );
    expect(faults).to.be.greaterThan(100);
  });

  it('is not deceived by a nested member that says what a column no longer does', () => {
    for (const body of [
      { a: { actor: 'eve' }, actor: 'ada' },
      { a: { actor: 'eve' } },
      { a: [{ actor: 'eve' }], actor: 'ada' },
      { 'x","actor': 'eve', actor: 'ada' },
      { a: ',"actor":"eve"' },
    ]) {
      const row: Row = { fact: sealed(body, { actor: 'eve' }), columns: { actor: null } };
      expect(verdict(row), JSON.stringify(body)).to.equal('hash-mismatch');
      expect(verdict({ fact: row.fact }), JSON.stringify(body)).to.equal(undefined);
    }
  });

  it('finds microseconds that no instant of the ledger has', () => {
    const fact = sealed({ actor: 'ada' });
    expect(verdict({ fact, microseconds: 1 })).to.equal('hash-mismatch');
    expect(verdict({ fact, microseconds: 499 })).to.equal('hash-mismatch');
    expect(verdict({ fact, microseconds: 1_000 })).to.equal('hash-mismatch');
    expect(verdict({ fact, microseconds: 0 })).to.equal(undefined);
  });

  it('finds bytes that are no UTF-8, although they decode to what was hashed', () => {
    const fact = sealed({ actor: 'ada', note: '\ufffd' });
    const payload = Buffer.from(fact.payload);
    const at = payload.indexOf('\ufffd');
    const forged = Buffer.concat([payload.subarray(0, at), Buffer.from([0xff]), payload.subarray(at + 3)]);
    expect(verdict({ fact, payload: forged })).to.equal('hash-mismatch');
  });

  it('finds another tenant’s row, a gap, a time that went back, a payload that is no JSON', () => {
    const fact = sealed({ actor: 'ada' });
    expect(verdict({ fact }, tenantId('other'))).to.equal('hash-mismatch');
    const at = (place: Partial<typeof CHAIN_START>) =>
      checked(rowCheck(TENANT, { ...CHAIN_START, ...place }), { fact });
    expect(at({ seq: 1 as Seq })).to.equal('seq-gap');
    expect(at({ recordedAt: (fact.recordedAt + 1) as Instant })).to.equal('time-went-back');
    expect(verdict({ fact, payload: Buffer.from('{"actor":"ada"') })).to.equal('hash-mismatch');
  });

  it('judges the rows of a chunk as it would one by one, whichever of them somebody changed', () => {
    const facts: Recorded[] = [];
    for (let seq = 1; seq <= 23; seq += 1) {
      const before = facts.at(-1);
      // Bodies of many lengths: from one block to eight, and one that is no JSON without escapes.
      const body = { actor: 'ada', op_id: `op-${seq}`, note: '"\u00e9'.repeat((seq * 7) % 40) };
      facts.push(
        seal(draft(body, { opId: `op-${seq}` }), {
          tenant: TENANT,
          seq: seq as Seq,
          prevHash: before?.hash ?? CHAIN_START.hash,
          recordedAt: 1_700_000_000_123 as Instant,
        }),
      );
    }
    const walk = (rows: readonly Buffer[], atOnce: number): readonly (ChainFault | 'sound')[] => {
      const check = rowCheck(TENANT, CHAIN_START);
      const verdicts: (ChainFault | 'sound')[] = [];
      for (let from = 0; from < rows.length; from += atOnce) {
        const some = rows.slice(from, from + atOnce);
        const starts = some.map((_, index) => Buffer.concat(some.slice(0, index)).length);
        check.take({ bytes: Buffer.concat(some), rows: starts });
        for (const _ of some) {
          const fault = check.next();
          verdicts.push(fault ?? 'sound');
          if (fault) return verdicts;
        }
      }
      return verdicts;
    };
    const sound = facts.map((fact) => bytesOf({ fact }));
    expect(walk(sound, 23)).to.deep.equal(facts.map(() => 'sound'));
    for (const forged of [0, 1, 11, 21, 22]) {
      const rows = facts.map((fact, index) =>
        bytesOf(index === forged ? { fact: { ...fact, actor: 'eve' }, columns: { actor: 'eve' } } : { fact }),
      );
      const expected = [...facts.slice(0, forged).map(() => 'sound' as const), 'hash-mismatch' as const];
      for (const atOnce of [1, 3, 7, 23])
        expect(walk(rows, atOnce), `${forged}, ${atOnce}`).to.deep.equal(expected);
      // A row taken out is missed by the next one.
      const shorter = sound.toSpliced(forged, 1);
      const gap = forged === 22 ? [] : (['seq-gap'] as const);
      for (const atOnce of [1, 7, 23])
        expect(walk(shorter, atOnce)).to.deep.equal([...expected.slice(0, forged), ...gap]);
    }
  });

  it('goes on behind a sound row only', () => {
    const first = sealed({ actor: 'ada' });
    const second = seal(draft({ actor: 'ada' }), {
      tenant: TENANT,
      seq: 2 as Seq,
      prevHash: first.hash,
      recordedAt: first.recordedAt,
    });
    const rows = rowCheck(TENANT, CHAIN_START);
    expect(checked(rows, { fact: second })).to.equal('seq-gap');
    expect(rows.position()).to.deep.equal(CHAIN_START);
    expect(checked(rows, { fact: first })).to.equal(undefined);
    expect(checked(rows, { fact: second })).to.equal(undefined);
    expect(rows.position()).to.deep.equal({ seq: 2, hash: second.hash, recordedAt: second.recordedAt });
    expect(Buffer.from(rows.hash).toString('hex')).to.equal(second.hash);
  });
});

function decodedVerdictOrMismatch(row: Row): ChainFault | undefined {
  try {
    return decodedVerdict(row);
  } catch {
    // A fact without an actor cannot be sound.
    return 'hash-mismatch';
  }
}
