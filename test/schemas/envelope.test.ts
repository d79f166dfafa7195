import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { create, toBinary } from '@bufbuild/protobuf';
import { FieldDescriptorProto_LabelSchema, FieldDescriptorProto_TypeSchema } from '@bufbuild/protobuf/wkt';
import { expect } from 'chai';
import fc from 'fast-check';
import { writeCanonical } from '#proofs/canonical.ts';
import type { BatchProof } from '#proofs/checkpoint.ts';
import {
  type EnvelopeProof,
  fromProto,
  MalformedEnvelope,
  type SealedReceipt,
  toProto,
} from '#schemas/envelope.ts';
import type { Recorded } from '#schemas/event.ts';
import * as pb from '#schemas/registry/receipts_pb.ts';
import { receipt, receiptV01, receiptV02, tenantText } from '#test/support/arbitraries.ts';

const ROOT = new URL('../../', import.meta.url);
const hash = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => Buffer.from(bytes).toString('hex'));
const count = fc.nat(0xffff_ffff);
const time = fc.integer({ min: -8e12, max: 8e14 });
const line = fc.string({ unit: 'grapheme', minLength: 1 });

const proof: fc.Arbitrary<BatchProof> = fc.record({
  ledgerId: fc.uuid(),
  signedAt: time,
  tenantCount: count,
  batchFactCount: count,
  root: hash,
  kid: line,
  signature: fc
    .uint8Array({ minLength: 64, maxLength: 72 })
    .map((bytes) => Buffer.from(bytes).toString('base64url')),
  path: fc.record({
    factIndex: count,
    factCount: count,
    factPath: fc.array(hash),
    tenantIndex: count,
    tenantPath: fc.array(hash),
  }),
}) as unknown as fc.Arbitrary<BatchProof>;

const payload = fc.oneof(
  ...([receiptV01, receiptV02, receipt] as fc.Arbitrary<unknown>[]).map((document, index) =>
    document.map((value) => ({ schemaVersion: index + 1, payload: writeCanonical(value as never) })),
  ),
);

const fact = fc
  .tuple(
    payload,
    fc.record(
      {
        tenant: tenantText,
        seq: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
        id: fc.uuid(),
        occurredAt: time,
        recordedAt: time,
        actor: line,
        prevHash: hash,
        hash,
        opId: line,
        opParentId: line,
        region: line,
        traceparent: line,
        stream: fc.constant('receipts-a-b'),
      },
      {
        requiredKeys: ['tenant', 'seq', 'id', 'occurredAt', 'recordedAt', 'actor', 'prevHash', 'hash'],
        noNullPrototype: true,
      },
    ),
  )
  .map(([what, rest]) => ({ ...rest, ...what, type: 'receipts.ReceiptRecorded' }) as unknown as Recorded);

const sealed: fc.Arbitrary<SealedReceipt> = fc.record({ fact, proof }, { noNullPrototype: true });
const [example] = fc.sample(sealed, { numRuns: 1, seed: 7 }) as [SealedReceipt];

describe('schemas/envelope', () => {
  it('a sealed receipt of any version goes to protobuf and back unchanged, to the byte of its payload', () => {
    fc.assert(
      fc.property(sealed, (receiptAndProof) => {
        expect(fromProto(toProto(receiptAndProof, writeCanonical), writeCanonical)).to.deep.equal(
          receiptAndProof,
        );
      }),
      { numRuns: 300 },
    );
  });

  it('has the shape of the proof that the ledger makes', () => {
    const asProof = (given: EnvelopeProof): BatchProof => given;
    const asEnvelope = (given: BatchProof): EnvelopeProof => given;
    expect(asEnvelope(asProof(example.proof))).to.equal(example.proof);
  });

  it('keeps every field number and type', () => {
    const frozen = JSON.parse(
      readFileSync(new URL('golden/receipts.proto.json', import.meta.url), 'utf8'),
    ) as object;
    expect(numbers()).to.deep.equal(frozen);
  });

  it('is generated from receipts.proto as that stands', function () {
    this.timeout(30_000);
    const out = mkdtempSync(join(tmpdir(), 'prov-ledger-proto-'));
    try {
      const bin = fileURLToPath(new URL('node_modules/.bin', ROOT));
      // As `npm run gen:proto` does, into another folder.
      const command = [
        'deploy/launch.mjs',
        'buf',
        'generate',
        'schemas',
        '--template',
        'schemas/buf.gen.yaml',
      ];
      execFileSync(process.execPath, [...command, '--output', out], {
        cwd: ROOT,
        stdio: 'pipe',
        env: { ...process.env, PATH: [bin, process.env['PATH']].join(delimiter) },
      });
      expect(readFileSync(join(out, 'schemas/registry/receipts_pb.ts'), 'utf8')).to.equal(
        readFileSync(new URL('schemas/registry/receipts_pb.ts', ROOT), 'utf8'),
      );
    } finally {
      rmSync(out, { recursive: true });
    }
  });

  describe('refuses', () => {
    const reading = (bytes: Uint8Array) => () => fromProto(bytes, writeCanonical);
    const changed = (change: (message: pb.Receipt) => void): Uint8Array => {
      const message = create(pb.ReceiptSchema, {
        id: 'r-1',
        action: 'a',
        actor: 'b',
        tenant: 'acme',
        decision: pb.Decision.ALLOW,
        createdAt: '2026-11-21T09:00:00Z',
        fact: {
          tenant: 'acme',
          seq: 1n,
          id: '0190a000-0000-7000-8000-000000000001',
          type: 'receipts.ReceiptRecorded',
          schemaVersion: 3,
          actor: 'b',
          prevHash: new Uint8Array(32),
          hash: new Uint8Array(32),
        },
        batchProof: {
          statement: { ledgerId: '0190a000-0000-7000-8000-000000000002', root: new Uint8Array(32) },
          path: {},
        },
      });
      change(message);
      return toBinary(pb.ReceiptSchema, message);
    };

    it('nothing in a sound one', () => {
      expect(reading(changed(() => undefined))().fact.payload).to.equal(
        '{"action":"a","actor":"b","created_at":"2026-11-21T09:00:00Z","decision":"allow","id":"r-1","tenant":"acme"}',
      );
    });

    const cases: readonly (readonly [string, (message: pb.Receipt) => void, string])[] = [
      ['one without a fact', (message) => delete message.fact, 'no fact or no proof'],
      ['one without a proof', (message) => delete message.batchProof, 'no fact or no proof'],
      [
        'one whose proof has no path',
        (message) => delete message.batchProof?.path,
        'no statement or no path',
      ],
      [
        'one of another event',
        (message) => Object.assign(message.fact ?? {}, { type: 'tenants.TenantCreated' }),
        'not a receipt',
      ],
      [
        'one of a newer version',
        (message) => Object.assign(message.fact ?? {}, { schemaVersion: 4 }),
        'version 4',
      ],
      ['a decision that is none', (message) => (message.decision = pb.Decision.UNSPECIFIED), '/decision'],
      ['inputs that are no JSON', (message) => (message.inputsJson = '{'), 'no receipt envelope'],
      ['inputs that are no object', (message) => (message.inputsJson = '[]'), '/inputs'],
      [
        'a hash of 31 bytes',
        (message) => Object.assign(message.fact ?? {}, { hash: new Uint8Array(31) }),
        'SHA-256',
      ],
      ['an unsafe seq', (message) => Object.assign(message.fact ?? {}, { seq: 2n ** 60n }), 'seq'],
    ];
    for (const [title, change, message] of cases) {
      it(title, () => expect(reading(changed(change))).to.throw(MalformedEnvelope, message));
    }

    it('bytes that are no protobuf, and facts that are no receipt', () => {
      expect(reading(Buffer.from('no protobuf'))).to.throw(MalformedEnvelope, 'no receipt envelope');
      const other = {
        ...example,
        fact: { ...example.fact, type: 'tenants.TenantResumed', schemaVersion: 1, payload: '{}' },
      };
      expect(() => toProto(other, writeCanonical)).to.throw(MalformedEnvelope, 'only receipts');
    });
  });
});

const numbers = (): object => {
  const messages = pb.file_receipts.messages.map(({ name, fields }) => [
    name,
    Object.fromEntries(fields.map((field) => [field.name, shapeOf(field)])),
  ]);
  const enums = pb.file_receipts.enums.map(({ name, values }) => [
    name,
    Object.fromEntries(values.map((value) => [value.name, value.number])),
  ]);
  return {
    package: pb.file_receipts.proto.package,
    messages: Object.fromEntries(messages) as object,
    enums: Object.fromEntries(enums) as object,
  };
};

/** For example `14 LABEL_OPTIONAL TYPE_MESSAGE .provledger.v1.SelectiveFields`. */
const shapeOf = ({ number, proto }: (typeof pb.file_receipts.messages)[number]['fields'][number]): string =>
  [
    number,
    FieldDescriptorProto_LabelSchema.values.find((label) => label.number === (proto.label as number))?.name,
    FieldDescriptorProto_TypeSchema.values.find((type) => type.number === (proto.type as number))?.name,
    proto.typeName,
    proto.proto3Optional ? 'optional' : '',
  ]
    .filter(Boolean)
    .join(' ');
