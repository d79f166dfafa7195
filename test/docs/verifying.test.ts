// docs/verifying.md run as it stands: its program, which shares no code with ours, against its own example, against
// what the ledger records, and against forgeries.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { exportLines } from '#gateway/export/chain-text.ts';
import { receiptBundle } from '#proofs/bundle.ts';
import { parseBundle } from '#proofs/bundle-reader.ts';
import { statementBytes } from '#proofs/checkpoint.ts';
import { jwks } from '#proofs/keys/public-key.ts';
import { verifyReceipt } from '#proofs/verifier.ts';
import type { Draft } from '#schemas/event.ts';
import { factId, instant, type Seq, type TenantId, tenantId } from '#schemas/ids.ts';
import { memoryLedger } from '#streams/memory/ledger.ts';
import type { StreamStore } from '#streams/stream.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { blocksOf, page, rowsUnder } from './pages.ts';

const text = page('docs/verifying.md');
const blocks = blocksOf(text);
const example = (label: string): string => blocks.find((block) => block.label === label)?.text ?? '';
const sha256 = (hex: string): string => createHash('sha256').update(Buffer.from(hex, 'hex')).digest('hex');
const digitsOf = (cell = ''): string =>
  [...cell.matchAll(/`([0-9a-f]+)`/g)].map(([, digits]) => digits).join('');

const ACME = tenantId('acme');
const GLOBEX = tenantId('globex');

const draft = (n: number, over: Partial<Draft> = {}): Draft => ({
  id: factId(`0190a000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`),
  type: 'receipts.ReceiptRecorded',
  schemaVersion: 3,
  payload: `{"id":"r-${n}","note":"für Ä"}`,
  occurredAt: instant('2026-11-21T09:00:00Z'),
  actor: 'bob',
  ...over,
});

describe('docs/verifying.md', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'prov-ledger-docs-'));
    const program = blocks.filter(({ language }) => language === 'js').map((block) => block.text);
    writeFileSync(join(folder, 'verify.mjs'), program.join('\n'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** Runs the page's program; resolves to its exit code and what it printed. */
  const run = (document: string, keys: string): { readonly code: number | null; readonly said: string } => {
    writeFileSync(join(folder, 'document'), document);
    writeFileSync(join(folder, 'jwks.json'), keys);
    const { status, stdout, stderr } = spawnSync(process.execPath, ['verify.mjs', 'document', 'jwks.json'], {
      cwd: folder,
      encoding: 'utf8',
      env: {},
    });
    return { code: status, said: `${stdout}${stderr}` };
  };

  const recorded = async (work: (store: StreamStore, keys: string) => Promise<void>): Promise<void> => {
    const { signer, keys } = testSigner();
    await using ledger = memoryLedger({ signer, clock: () => Date.UTC(2026, 10, 21, 9) });
    const { store } = ledger;
    const append = (tenant: TenantId, drafts: readonly Draft[], kind: 'any' | 'new-tenant' = 'any') =>
      store.append({ tenant, drafts, expect: { kind } });
    await append(ACME, [draft(1)], 'new-tenant');
    // Appended in the same moment: one commit batch of two tenants.
    await Promise.all([
      append(ACME, [
        draft(2, { opId: 'op', opParentId: 'op-0', region: 'eu', traceparent: 'not hashed' }),
        draft(3),
      ]),
      append(GLOBEX, [draft(4)], 'new-tenant'),
      append(ACME, [draft(5, { actor: 'zoë 🙂' }), draft(6), draft(7)]),
    ]);
    await append(ACME, [draft(8)]);
    await work(store, JSON.stringify(jwks(keys)));
  };

  describe('the worked example', () => {
    it('has the hashed bytes, whose hash is that of the fact', () => {
      const rows = rowsUnder(text, 'Worked example').filter(([, cell]) => digitsOf(cell) !== '');
      const preimage = rows
        .slice(0, 15)
        .map(([, cell]) => digitsOf(cell))
        .join('');
      expect(rows[14]?.[0]).to.equal('SHA-256 of the payload');
      const { fact, proof } = parseBundle(example('receipt.json'));
      expect(sha256(preimage)).to.equal(fact.hash);
      const steps = rows.slice(15, 18).map(([, cell]) => digitsOf(cell));
      expect(steps[0]).to.equal(sha256(`00${fact.hash}`));
      const [left = '', right = ''] = proof.path.factPath;
      const share = sha256(`01${sha256(`01${left}${steps[0]}`)}${right}`);
      expect(steps[1]).to.equal(share);
      expect(steps[2]).to.equal(
        sha256(`01${sha256(`00${'3'.padStart(16, '0')}${share}`)}${proof.path.tenantPath[0]}`),
      );
      const statement = rows.slice(18).map(([, cell]) => digitsOf(cell));
      expect(statement).to.have.length(6);
      expect(statement.join('')).to.equal(statementBytes(proof).toString('hex'));
    });

    it('verifies with the program of the page, and with ours', () => {
      const [receipt, keys] = [example('receipt.json'), example('jwks.json')];
      const { fact } = parseBundle(receipt);
      expect(run(receipt, keys)).to.deep.equal({
        code: 0,
        said: `acme/3 ${fact.hash}: recorded 2026-11-21T09:00:10.250Z, signed by ${JSON.parse(keys).keys[0].kid}\n`,
      });
      expect(verifyReceipt(receipt, JSON.parse(keys)).ok).to.equal(true);
    });

    const forgeries: readonly [what: string, from: string | RegExp, to: string, why: string][] = [
      ['another decision', '\\"deny\\"', '\\"allow\\"', 'the fact has another hash than its content'],
      ['another actor', '"actor": "bob"', '"actor": "eve"', 'the fact has another hash than its content'],
      ['another place', '"seq": 3', '"seq": 4', 'the fact has another hash than its content'],
      [
        'another number of facts',
        '"fact_count": 3',
        '"fact_count": 4',
        'the fact is not under the signed root',
      ],
      [
        'another place in the commit',
        '"fact_index": 1',
        '"fact_index": 0',
        'the fact is not under the signed root',
      ],
      ['a path too short', /"e588[0-9a-f]+"/, '"00"', 'the fact is not under the signed root'],
      ['another time of signing', '10.251Z', '10.252Z', 'the key did not sign this statement'],
      ['another ledger', '0000000000aa', '0000000000ab', 'the key did not sign this statement'],
      [
        'another number of tenants',
        '"batch_fact_count": 4',
        '"batch_fact_count": 5',
        'the key did not sign this',
      ],
      ['another key', 'kPrK_', 'kPrK-', 'is none of those given'],
    ];
    for (const [what, from, to, why] of forgeries) {
      it(`does not verify with ${what}, here or there`, () => {
        const forged = example('receipt.json').replace(from, to);
        expect(forged).to.not.equal(example('receipt.json'));
        const { code, said } = run(forged, example('jwks.json'));
        expect(code).to.equal(1);
        expect(said).to.include(why);
        expect(verifyReceipt(forged, JSON.parse(example('jwks.json'))).ok).to.equal(false);
      });
    }
  });

  it('verifies every receipt that the ledger makes', async () => {
    await recorded(async (store, keys) => {
      for await (const facts of store.read(ACME)) {
        expect(facts).to.have.length(7);
        for (const fact of facts) {
          const proof = await store.proof(ACME, fact.seq);
          if (!proof) throw new Error(`fact ${fact.seq} has no proof`);
          const { code, said } = run(JSON.stringify(receiptBundle(fact, proof)), keys);
          expect(said).to.include(`acme/${fact.seq} ${fact.hash}`);
          expect(code).to.equal(0);
        }
      }
    });
  });

  describe('an export', () => {
    const exported = async (store: StreamStore, keys: string, from = 1, to = 7): Promise<string> => {
      const request = {
        tenant: ACME,
        from: from as Seq,
        to: to as Seq,
        jwks: JSON.parse(keys),
        totals: { facts: 0 },
      };
      return (await Array.fromAsync(exportLines(store, request))).join('');
    };

    it('verifies whole, and in any range', async () => {
      await recorded(async (store, keys) => {
        expect(run(await exported(store, keys), keys).said).to.match(
          /^acme: 7 facts in 3 signed batches, up to 7 [0-9a-f]{64}\n$/,
        );
        for (const [from, to] of [
          [2, 6],
          [3, 5],
          [4, 4],
          [6, 7],
          [1, 1],
        ] as const) {
          const { code, said } = run(await exported(store, keys, from, to), keys);
          expect(said).to.include(`acme: ${to - from + 1} facts in`);
          expect(code, `${from} to ${to}`).to.equal(0);
        }
      });
    });

    it('fails, and says why, when anything in it was changed', async () => {
      await recorded(async (store, keys) => {
        const whole = await exported(store, keys);
        const lines = whole.trimEnd().split('\n');
        const without = (index: number): string => lines.filter((_, at) => at !== index).join('\n');
        const other = testSigner();
        const forged: readonly [document: string, why: string, keys?: string][] = [
          [whole.replace('r-3', 'r-9'), 'acme/3 has another hash than its content'],
          [without(1), 'a signature follows on 0, but no fact that it covers'],
          [without(4), 'acme/4 does not follow on seq 2'],
          [without(2), 'are not under the signed root'],
          [lines.slice(0, -1).join('\n'), 'the file stops before its own end'],
          [without(lines.length - 2), 'the last facts are signed by nothing'],
          [`${whole}{"end":{}}`, 'something stands behind the end'],
          [whole, 'is none of those given', JSON.stringify(jwks(other.keys))],
        ];
        for (const [document, why, trusted = keys] of forged) {
          const { code, said } = run(document, trusted);
          expect(said).to.include(why);
          expect(code).to.equal(1);
        }
      });
    });
  });
});
