import { expect } from 'chai';
import { CHAIN_START, type ChainPosition, seal } from '#proofs/chain.ts';
import { buildBatch, signBatch } from '#proofs/checkpoint.ts';
import { type ExportFault, exportVerifier } from '#proofs/export.ts';
import { batchLine, endLine, factLine, headerLine } from '#proofs/export-lines.ts';
import type { Recorded } from '#schemas/event.ts';
import { factId, type Instant, type Seq, type Sha256, tenantId } from '#schemas/ids.ts';
import { testSigner } from '#test/support/test-signer.ts';

const TENANT = tenantId('acme');
const LEDGER = '0190a000-0000-7000-8000-0000000000aa';
const { signer, keys } = testSigner();

const chain = (count: number): readonly Recorded[] => {
  const facts: Recorded[] = [];
  for (let seq = 1; seq <= count; seq += 1) {
    const before = facts.at(-1);
    const draft = {
      id: factId(`0190a000-0000-7000-8000-${String(seq).padStart(12, '0')}`),
      type: 'receipts.ReceiptRecorded',
      schemaVersion: 3,
      occurredAt: (1_700_000_000_000 + seq) as Instant,
      actor: 'alice',
      payload: `{"n":${seq}}`,
    };
    facts.push(
      seal(draft, {
        tenant: TENANT,
        seq: seq as Seq,
        prevHash: before?.hash ?? CHAIN_START.hash,
        recordedAt: (1_700_000_001_000 + seq) as Instant,
      }),
    );
  }
  return facts;
};

const placeOf = (fact: Recorded | undefined): ChainPosition =>
  fact ? { seq: fact.seq, hash: fact.hash, recordedAt: fact.recordedAt } : CHAIN_START;

/** Facts 1 to 7 in batches of 3, 3 and 1, each beside another tenant's; the lines of a range of them. */
const exported = async (from = 1, to = 7): Promise<string[]> => {
  const facts = chain(7);
  const lines = [
    headerLine(
      {
        ledgerId: LEDGER,
        tenant: TENANT,
        from: from as Seq,
        to: to as Seq,
        before: placeOf(facts[from - 2]),
      },
      keys,
    ),
  ];
  let batches = 0;
  for (const [first, last] of [
    [1, 3],
    [4, 6],
    [7, 7],
  ] as const) {
    const share = facts.slice(first - 1, last).map((fact) => fact.hash);
    const batch = buildBatch({
      ledgerId: LEDGER,
      signedAt: 1_700_000_002_000 as Instant,
      tenants: [['a'.repeat(64) as Sha256], share],
    });
    const proof = batch.proof({ tenantIndex: 1, factIndex: 0 }, await signBatch(batch.statement, signer));
    const within = facts.filter(({ seq }) => seq >= Math.max(first, from) && seq <= Math.min(last, to));
    if (within.length === 0) continue;
    lines.push(...within.map(factLine));
    const hashesBefore = share.slice(0, Math.max(0, from - first));
    const hashesAfter = to < last ? share.slice(to - last) : [];
    lines.push(batchLine({ proof, firstSeq: first as Seq, hashesBefore, hashesAfter }));
    batches += 1;
  }
  lines.push(endLine({ facts: to - from + 1, batches, head: placeOf(facts[to - 1]) }));
  return lines;
};

const verify = (lines: readonly string[], trusted = keys) => {
  const verifier = exportVerifier(trusted);
  for (const line of lines) {
    const fault = verifier.line(line);
    if (fault) return fault;
  }
  return verifier.end();
};

const faultOf = (lines: readonly string[], trusted = keys): string => {
  const result = verify(lines, trusted);
  return 'code' in result ? (result as ExportFault).code : 'verified';
};

const edited = (lines: readonly string[], index: number, edit: (document: never) => unknown): string[] =>
  lines.map((line, at) => (at === index ? JSON.stringify(edit(JSON.parse(line) as never)) : line));

describe('proofs/export', () => {
  it('verifies a whole chain with nothing but its lines and the keys', async () => {
    const report = verify(await exported());
    expect(report).to.deep.include({ facts: 7, batches: 3, kids: [signer.kid] });
    expect(report).to.have.nested.property('head.seq', 7);
  });

  it('verifies every range, also one that cuts through batches', async () => {
    for (let from = 1; from <= 7; from += 1) {
      for (let to = from; to <= 7; to += 1)
        expect(faultOf(await exported(from, to)), `${from} to ${to}`).to.equal('verified');
    }
  });

  it('a change of any member of any line is found', async () => {
    const lines = await exported(2, 6);
    const bare = new Set(['jwks', 'traceparent']);
    let changes = 0;
    const change = (value: unknown): unknown => {
      if (typeof value === 'number') return value + 1;
      if (typeof value === 'string') return value.replace(/.$/, (last) => (last === '1' ? '2' : '1'));
      return undefined;
    };
    for (const [index, line] of lines.entries()) {
      const document = JSON.parse(line) as Record<string, unknown>;
      const inner = (document['fact'] ?? document['batch'] ?? document['end'] ?? document) as Record<
        string,
        unknown
      >;
      for (const name of Object.keys(inner)) {
        if (bare.has(name)) continue;
        const before = inner[name];
        inner[name] = Array.isArray(before) ? before.map(change) : change(before);
        if (Array.isArray(before) && before.length === 0) inner[name] = ['a'.repeat(64)];
        expect(
          faultOf(lines.map((other, at) => (at === index ? JSON.stringify(document) : other))),
          `line ${index + 1}, ${name}`,
        ).to.not.equal('verified');
        inner[name] = before;
        changes += 1;
      }
    }
    expect(changes).to.be.greaterThan(70);
  });

  it('a line left out, doubled, moved or added is found', async () => {
    const lines = await exported();
    for (const index of lines.keys()) {
      expect(faultOf(lines.toSpliced(index, 1)), `without line ${index + 1}`).to.not.equal('verified');
      expect(
        faultOf(lines.toSpliced(index, 0, lines[index] as string)),
        `line ${index + 1} twice`,
      ).to.not.equal('verified');
      if (index > 0) {
        const swapped = lines.toSpliced(index - 1, 2, lines[index] as string, lines[index - 1] as string);
        expect(faultOf(swapped), `lines ${index} and ${index + 1} swapped`).to.not.equal('verified');
      }
    }
    expect(faultOf([...lines, '{}'])).to.equal('trailing-lines');
  });

  it('says what is wrong', async () => {
    const lines = await exported();
    expect(faultOf([])).to.equal('not-an-export');
    expect(faultOf(['{"format":"other"}'])).to.equal('not-an-export');
    expect(faultOf(lines.slice(0, 6))).to.equal('cut-off');
    expect(
      faultOf(edited(lines, 2, ({ fact }: { fact: object }) => ({ fact: { ...fact, payload: '{"n":9}' } }))),
    ).to.equal('hash-mismatch');
    expect(faultOf(lines.toSpliced(2, 1))).to.equal('seq-gap');
    expect(faultOf(lines.filter((line) => !line.startsWith('{"batch"')))).to.equal('unsigned-facts');
    expect(faultOf(lines.map((line) => (line.startsWith('{"batch"') ? '{"seen":1}' : line)))).to.equal(
      'malformed-line',
    );
    expect(verify(lines.toSpliced(3, 1, '{"fact":1,"fact":2}'))).to.deep.include({
      line: 4,
      code: 'malformed-line',
    });
  });

  it('trusts the keys it is given, and none that come with the file', async () => {
    const other = testSigner().keys;
    const lines = await exported();
    expect(faultOf(lines, other)).to.equal('unknown-key');
    expect(faultOf(lines, [])).to.equal('unknown-key');
    expect(faultOf(lines, [...other, ...keys])).to.equal('verified');
  });

  it('a chain forged whole, with its own keys in the header, is refused', async () => {
    const forger = testSigner();
    const facts = chain(2);
    const batch = buildBatch({
      ledgerId: LEDGER,
      signedAt: 1 as Instant,
      tenants: [facts.map(({ hash }) => hash)],
    });
    const proof = batch.proof(
      { tenantIndex: 0, factIndex: 0 },
      await signBatch(batch.statement, forger.signer),
    );
    const lines = [
      headerLine(
        { ledgerId: LEDGER, tenant: TENANT, from: 1 as Seq, to: 2 as Seq, before: CHAIN_START },
        forger.keys,
      ),
      ...facts.map(factLine),
      batchLine({ proof, firstSeq: 1 as Seq, hashesBefore: [], hashesAfter: [] }),
      endLine({ facts: 2, batches: 1, head: placeOf(facts[1]) }),
    ];
    expect(faultOf(lines, forger.keys)).to.equal('verified');
    expect(faultOf(lines)).to.equal('unknown-key');
    const renamed = edited(lines, 3, ({ batch: said }: { batch: object }) => ({
      batch: { ...said, kid: signer.kid },
    }));
    expect(faultOf(renamed)).to.equal('bad-signature');
  });
});
