import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import fc from 'fast-check';
import { writeCanonical } from '#proofs/canonical.ts';
import type { Fault } from '#schemas/event.ts';
import { faultsAgainst } from '#schemas/faults.ts';
import { MalformedId } from '#schemas/ids.ts';
import { faultsOf } from '#schemas/index.ts';
import {
  type ReceiptDocument,
  receiptBodySchema,
  receiptId,
  receipts,
  receiptVersion,
  toVersion,
} from '#schemas/receipts.ts';
import { receipt, receiptV01, receiptV02 } from '#test/support/arbitraries.ts';

const TYPE = 'receipts.ReceiptRecorded';
const BY_VERSION = { 1: receiptV01, 2: receiptV02, 3: receipt } as const;
const VERSIONS = [1, 2, 3] as const;

const sound = {
  id: 'r-1',
  action: 'db.export',
  actor: 'svc-export',
  tenant: 'acme',
  decision: 'allow',
  created_at: '2026-11-21T09:00:00Z',
};

const faultAt = (version: number, document: unknown, pointer: string): Fault => {
  const fault = faultsOf(TYPE, version, document).find((one) => one.pointer === pointer);
  if (!fault) throw new Error(`no fault at ${pointer} in ${JSON.stringify(document)}`);
  return fault;
};

describe('schemas/receipts', () => {
  describe('a document', () => {
    for (const version of VERSIONS) {
      it(`of version ${receipts.events[TYPE].versionNames[version - 1]} is sound as the arbitraries make it, and claims its version`, () => {
        fc.assert(
          fc.property(BY_VERSION[version] as fc.Arbitrary<ReceiptDocument>, (document) => {
            expect(faultsOf(TYPE, version, document)).to.deep.equal([]);
            expect(receiptVersion(document as never)).to.equal(version);
          }),
        );
      });
    }

    it('claims no version that is not known', () => {
      for (const version of ['1', '0.3', 2, null]) {
        const claim = receiptVersion({ ...sound, version });
        expect(claim).to.have.property('pointer', '/version');
        expect(claim).to.have.property('message').that.includes('leave it out for version 1');
      }
    });

    const bad: readonly (readonly [string, number, object, string, RegExp])[] = [
      ['without an actor', 3, { actor: undefined }, '/actor', /is missing; give 1 to 256/],
      [
        'with null for what it does not say',
        3,
        { region: null },
        '/region',
        /is null; give .* visible ASCII/,
      ],
      ['with an empty id', 3, { id: '' }, '/id', /1 to 128 visible ASCII/],
      ['with an id of 129 characters', 3, { id: 'x'.repeat(129) }, '/id', /1 to 128/],
      ['with white space in its id', 3, { id: 'a b' }, '/id', /visible/],
      ['with another decision', 3, { decision: 'ALLOW' }, '/decision', /"allow" or "deny"/],
      ['with a line feed in its action', 3, { action: 'a\nb' }, '/action', /without control characters/],
      ['with half a character in its actor', 3, { actor: 'a\ud800' }, '/actor', /give 1 to 256/],
      [
        'with a day that does not exist',
        3,
        { created_at: '2026-02-29T00:00:00Z' },
        '/created_at',
        /RFC 3339/,
      ],
      ['with a time without an offset', 3, { created_at: '2026-02-28T00:00:00' }, '/created_at', /offset/],
      ['with a number for a time', 3, { created_at: 1 }, '/created_at', /is a number; give an RFC 3339/],
      ['with a bare hash', 3, { evidence_hash: 'ab'.repeat(32) }, '/evidence_hash', /<algorithm>:/],
      [
        'with a SHA-256 that is too short',
        3,
        { evidence_hash: `sha256:${'ab'.repeat(31)}` },
        '/evidence_hash',
        /64 digits/,
      ],
      [
        'with upper-case digits',
        3,
        { evidence_hash: `sha256:${'AB'.repeat(32)}` },
        '/evidence_hash',
        /lower-case/,
      ],
      [
        'with a git hash of another length',
        3,
        { evidence_hash: `git-sha1:${'ab'.repeat(32)}` },
        '/evidence_hash',
        /give the hash/,
      ],
      ['with inputs that are no object', 3, { inputs: [1] }, '/inputs', /is an array; give a JSON object/],
      [
        'with a path that is no pointer',
        3,
        { selective_fields: ['inputs.amount'] },
        '/selective_fields/0',
        /JSON Pointer/,
      ],
      ['with a pointer to all of it', 3, { selective_fields: [''] }, '/selective_fields/0', /JSON Pointer/],
      ['with one pointer twice', 3, { selective_fields: ['/a', '/a'] }, '/selective_fields', /different/],
      ['with a proof of no type', 3, { proofs: [{}] }, '/proofs/0/type', /is missing/],
      [
        'with a member of its own',
        3,
        { 'a/b~c': 1 },
        '/a~1b~0c',
        /is not a member of a receipt of version 1; remove it, or move it into "ext"/,
      ],
      ['with a version member', 3, { version: '1' }, '/version', /remove it/],
      ['with an empty ext', 3, { ext: {} }, '/ext', /at least one member/],
      [
        'with a name in ext that is ours',
        3,
        { ext: { 'prov-ledger/1': { kid: 'k' } } },
        '/ext/prov-ledger~11',
        /does not begin with "prov-ledger\/"/,
      ],
    ];
    for (const [title, version, change, pointer, message] of bad) {
      it(`${title} is at fault, and told what to give`, () => {
        const document = JSON.parse(JSON.stringify({ ...sound, ...change })) as unknown;
        expect(faultAt(version, document, pointer).message).to.match(message);
      });
    }

    it('may be of another version only as that version has it', () => {
      const { created_at, ...rest } = sound;
      const older = { ...rest, version: '0.2', timestamp: created_at };
      expect(faultsOf(TYPE, 2, older)).to.deep.equal([]);
      expect(faultAt(1, older, '/version').message).to.include('"0.1"');
      expect(faultAt(2, sound, '/timestamp').message).to.include('is missing');
      expect(faultAt(4, sound, '').message).to.include('use 1 to 3');
    });

    it('names its evidence once', () => {
      const { created_at, ...rest } = sound;
      const twice = {
        ...rest,
        version: '0.2',
        timestamp: created_at,
        evidence: 'ab'.repeat(32),
        ext: { 'prov-ledger/1': { evidence_hash: `git-sha1:${'ab'.repeat(20)}` } },
      };
      expect(faultAt(2, twice, '').message).to.include('twice');
      expect(faultAt(1, { ...twice, version: '0.1' }, '').message).to.include('twice');
    });

    it('carries only what its version cannot say', () => {
      const { created_at, ...rest } = sound;
      const carrying = (carried: object) => ({
        ...rest,
        version: '0.2',
        timestamp: created_at,
        ext: { 'prov-ledger/1': carried },
      });
      expect(faultAt(2, carrying({}), '/ext/prov-ledger~11').message).to.include('only version 1 can say');
      expect(
        faultAt(2, carrying({ policy_version: 'p' }), '/ext/prov-ledger~11/policy_version').message,
      ).to.include('remove it');
      expect(
        faultAt(
          2,
          carrying({ evidence_hash: `sha256:${'ab'.repeat(32)}` }),
          '/ext/prov-ledger~11/evidence_hash',
        ).message,
      ).to.match(/give the hash/);
    });

    it('buys no long answer', () => {
      const many = Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`m${index}`, 1]));
      expect(faultsOf(TYPE, 3, { ...sound, ...many })).to.have.lengthOf(20);
    });

    it('may leave id, tenant and created_at to the ledger as a request body', () => {
      const check = faultsAgainst(receiptBodySchema);
      expect(check({ action: 'a', actor: 'b', decision: 'deny' })).to.deep.equal([]);
      expect(check({ action: 'a', actor: 'b' })).to.have.lengthOf(1);
    });
  });

  describe('adapters', () => {
    for (const from of VERSIONS) {
      for (const to of VERSIONS.filter((version) => version !== from)) {
        it(`${from} to ${to} and back lose nothing, and give a sound document`, () => {
          fc.assert(
            fc.property(BY_VERSION[from] as fc.Arbitrary<ReceiptDocument>, (document) => {
              const there = toVersion(document, from, to);
              expect(faultsOf(TYPE, to, there)).to.deep.equal([]);
              expect(toVersion(there, to, from)).to.deep.equal(document);
            }),
          );
        });
      }
    }

    for (const [from, to] of [
      [1, 2],
      [2, 3],
      [3, 2],
      [2, 1],
    ] as const) {
      it(`${from} to ${to} give the golden bytes`, () => {
        const inputs = golden(`receipts.${from}-${to}.input.ndjson`);
        const outputs = golden(`receipts.${from}-${to}.output.ndjson`);
        expect(inputs).to.have.lengthOf(3);
        const given = inputs.map((line) => JSON.parse(line) as ReceiptDocument);
        for (const document of given) expect(faultsOf(TYPE, from, document)).to.deep.equal([]);
        expect(given.map((document) => writeCanonical(toVersion(document, from, to) as never))).to.deep.equal(
          outputs,
        );
      });
    }

    it('up is what the event upcasts by', () => {
      const { upcasters, version } = receipts.events[TYPE];
      expect(Object.keys(upcasters).map(Number)).to.deep.equal(VERSIONS.filter((one) => one < version));
      fc.assert(
        fc.property(receiptV01, (document) => {
          expect(upcasters[1]?.(document as never)).to.deep.equal(toVersion(document, 1, 2));
        }),
        { numRuns: 20 },
      );
    });
  });

  describe('receiptId', () => {
    it('takes 1 to 128 visible ASCII characters', () => {
      for (const id of [
        '0190a000-0000-7000-8000-000000000001',
        '01HV000000000000000000000',
        'git:ad85',
        'x'.repeat(128),
      ])
        expect(receiptId(id)).to.equal(id);
      for (const id of ['', 'a b', 'é', 'a\n', 'x'.repeat(129)])
        expect(() => receiptId(id)).to.throw(MalformedId, 'visible ASCII');
    });
  });
});

const golden = (name: string): readonly string[] =>
  readFileSync(new URL(`golden/${name}`, import.meta.url), 'utf8')
    .trimEnd()
    .split('\n');
