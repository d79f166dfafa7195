import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import { writeCanonical } from '#proofs/canonical.ts';
import { GENESIS_HASH, linkFault, seal } from '#proofs/chain.ts';
import { avroReader } from '#schemas/codec.ts';
import type { Draft, Recorded } from '#schemas/event.ts';
import { factId, type Instant, type Seq, streamName, tenantId } from '#schemas/ids.ts';
import { subjectOf, subjects } from '#schemas/registry/subjects.ts';
import { factMessage, factOf } from '#streams/kafka/fact-message.ts';
import { framedId } from '#streams/kafka/registry.ts';
import { receipt, receiptV01, receiptV02, tenantEvent } from '#test/support/arbitraries.ts';

const acme = tenantId('acme');
const said = fc.oneof(
  receipt.map((data) => ['receipts.ReceiptRecorded', 3, data] as const),
  receiptV02.map((data) => ['receipts.ReceiptRecorded', 2, data] as const),
  receiptV01.map((data) => ['receipts.ReceiptRecorded', 1, data] as const),
  tenantEvent.map(({ type, data }) => [type, 1, data] as const),
  fc.string({ unit: 'grapheme' }).map((text) => ['unheard.Said', 7, { text }] as const),
);
const text = fc.option(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }), { nil: undefined });

/** A sealed fact, whose texts are those of its payload or others. */
const recorded: fc.Arbitrary<Recorded> = fc
  .record({ said, opId: text, region: text, actor: text, traceparent: text, asPayload: fc.boolean() })
  .map(({ said: [type, schemaVersion, data], opId, region, actor, traceparent, asPayload }) => {
    const members = data as { actor?: string; op_id?: string; region?: string };
    const draft: Draft = {
      id: factId(randomUUID()),
      type,
      schemaVersion,
      stream: opId === undefined ? undefined : streamName('tests', 'one'),
      payload: writeCanonical(data as never),
      occurredAt: 1_700_000_000_123 as Instant,
      actor: (asPayload ? members.actor : actor) ?? 'user:ada',
      opId: asPayload ? members.op_id : opId,
      region: asPayload ? members.region : region,
      traceparent,
    };
    const link = {
      tenant: acme,
      seq: 1 as Seq,
      prevHash: GENESIS_HASH,
      recordedAt: 1_763_715_600_000 as Instant,
    };
    return seal(draft, link);
  });

const ids = new Map(subjects().map(({ name }, index) => [name, index + 1]));
const wire = {
  ledgerId: '00000000-0000-4000-8000-000000000001',
  schemaIdOf: (name: string) => ids.get(name) ?? 0,
};
const readerOf = (id: number) => {
  const subject = subjects()[id - 1];
  return subject && avroReader(JSON.parse(subject.schema), JSON.parse);
};

/** As Kafka gives it back. */
const sent = (fact: Recorded) => {
  const { key, value, headers } = factMessage(fact, wire);
  const bytes = Object.entries(headers).map(([name, header]) => [name, Buffer.from(header)]);
  return { key: Buffer.from(key), value, headers: Object.fromEntries(bytes) as Record<string, Buffer> };
};

describe('streams/kafka/fact-message', () => {
  it('a fact goes to a message and back unchanged, and its hash still holds', () => {
    fc.assert(
      fc.property(recorded, (fact) => {
        const back = factOf(sent(fact), readerOf);
        expect(back).to.deep.equal({ ...fact, parsed: JSON.parse(fact.payload) });
        const start = { seq: 0 as Seq, hash: GENESIS_HASH, recordedAt: 0 as Instant };
        expect(linkFault(back, acme, start)).to.equal(undefined);
      }),
      { numRuns: 200 },
    );
  });

  it('carries its event in Avro under the subject of the event, as CloudEvents has it', () => {
    fc.assert(
      fc.property(recorded, (fact) => {
        const { value, headers, key } = factMessage(fact, wire);
        const name = subjects()[(framedId(value) ?? 0) - 1]?.name;
        expect(name).to.equal(subjectOf(fact.type) ? fact.type : 'ledger.OpaqueFact');
        expect(key).to.equal('acme');
        expect(headers).to.include({ ce_specversion: '1.0', ce_id: fact.id, ce_type: fact.type });
        expect(headers['payload'] === undefined).to.equal(
          fact.schemaVersion === 3 || fact.type !== 'receipts.ReceiptRecorded',
        );
      }),
      { numRuns: 50 },
    );
  });

  it('refuses what is no fact as corrupt, and names what is missing', () => {
    // One whose value is longer than what is cut off below.
    const fact = fc.sample(recorded, 100).find((each) => sent(each).value.length > 100) as Recorded;
    const whole = sent(fact);
    for (const name of [
      'seq',
      'hash',
      'prev_hash',
      'id',
      'type',
      'schema_version',
      'recorded_at',
      'ce_time',
    ]) {
      const { [name]: _, ...headers } = whole.headers;
      expect(() => factOf({ ...whole, headers }, readerOf), name).to.throw(name);
    }
    expect(() => factOf({ ...whole, value: null }, readerOf)).to.throw('schema none');
    expect(() => factOf(whole, () => undefined)).to.throw('not known');
    expect(() => factOf({ ...whole, value: whole.value.subarray(0, 6) }, readerOf))
      .to.throw()
      .with.property('code', 'corrupt');
  });
});
