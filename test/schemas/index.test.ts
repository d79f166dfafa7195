import { expect } from 'chai';
import fc from 'fast-check';
import type { Recorded } from '#schemas/event.ts';
import { decodeFact, domains, eventSchema, faultsOf, UndecodableFact } from '#schemas/index.ts';
import { toVersion } from '#schemas/receipts.ts';
import { receipt, receiptV01, receiptV02 } from '#test/support/arbitraries.ts';

const recorded = (type: string, schemaVersion: number, payload: string): Recorded =>
  ({
    tenant: 'acme',
    seq: 7,
    id: '0190a000-0000-7000-8000-000000000001',
    type,
    schemaVersion,
    payload,
    actor: 'alice',
    occurredAt: 1,
    recordedAt: 2,
  }) as unknown as Recorded;

const RECEIPT = 'receipts.ReceiptRecorded';

describe('schemas', () => {
  it('every domain prefixes its event types, in the past tense, with a name for every version and every step up', () => {
    for (const { name, events } of domains) {
      for (const [type, schema] of Object.entries(events)) {
        expect(type).to.match(new RegExp(`^${name}\\.[A-Z][A-Za-z]+(ed|Set|Frozen|Upheld|RolledBack)$`));
        expect(schema.versionNames).to.have.lengthOf(schema.version);
        expect(Object.keys(schema.upcasters).map(Number)).to.deep.equal(
          Array.from({ length: schema.version - 1 }, (_, index) => index + 1),
        );
        expect(eventSchema(type)).to.equal(schema);
      }
    }
    expect(eventSchema('receipts.Unknown')).to.equal(undefined);
    expect(eventSchema('toString')).to.equal(undefined);
  });

  it('a type that is not known is a fault', () => {
    expect(faultsOf('receipts.Unknown', 1, {})[0]?.message).to.include('not an event type known here');
  });

  describe('decodeFact', () => {
    it('brings every version of a receipt up to the newest', () => {
      for (const [version, documents] of [
        [1, receiptV01],
        [2, receiptV02],
        [3, receipt],
      ] as const) {
        fc.assert(
          fc.property(documents as fc.Arbitrary<never>, (document) => {
            const stored = recorded(RECEIPT, version, JSON.stringify(document));
            const fact = decodeFact(stored);
            expect(fact.data).to.deep.equal(toVersion(document, version, 3));
            expect(fact).to.include({
              payload: stored.payload,
              schemaVersion: version,
              seq: 7,
              tenant: 'acme',
            });
          }),
          { numRuns: 30 },
        );
      }
    });

    it('takes a payload that was parsed already, still bringing it up', () => {
      const document = {
        version: '0.2',
        id: 'r',
        action: 'a',
        actor: 'b',
        tenant: 'acme',
        decision: 'allow',
        timestamp: '2026-11-21T09:00:00Z',
      };
      const { data } = decodeFact({ ...recorded(RECEIPT, 2, 'never read'), parsed: document });
      expect(data).to.deep.equal({
        id: 'r',
        action: 'a',
        actor: 'b',
        tenant: 'acme',
        decision: 'allow',
        created_at: '2026-11-21T09:00:00Z',
      });
    });

    it('says why a fact cannot be read', () => {
      const decoding = (type: string, version: number, payload: string) => () =>
        decodeFact(recorded(type, version, payload));
      expect(decoding('appeals.AppealUpheld', 1, '{}')).to.throw(
        UndecodableFact,
        'fact 7 of acme (appeals.AppealUpheld) cannot be read: its type is not known here',
      );
      expect(decoding(RECEIPT, 4, '{}')).to.throw(UndecodableFact, 'of version 4, known are 1 to 3');
      expect(decoding(RECEIPT, 0, '{}')).to.throw(UndecodableFact, 'of version 0');
      expect(decoding(RECEIPT, Number.NaN, '{}')).to.throw(UndecodableFact, 'of version NaN');
      expect(decoding(RECEIPT, 3, '{')).to.throw(UndecodableFact, 'no JSON');
    });
  });
});
