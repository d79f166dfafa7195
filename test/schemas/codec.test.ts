import { expect } from 'chai';
import fc from 'fast-check';
import { writeCanonical } from '#proofs/canonical.ts';
import * as attestations from '#schemas/attestations.ts';
import { avroSchema, fromAvro, toAvro } from '#schemas/codec.ts';
import type { DomainEvent } from '#schemas/event.ts';
import * as flags from '#schemas/flags.ts';
import * as gates from '#schemas/gates.ts';
import { domains, eventSchema, faultsOf } from '#schemas/index.ts';
import * as messages from '#schemas/messages.ts';
import * as placements from '#schemas/placements.ts';
import * as projections from '#schemas/projections.ts';
import { receiptSchema } from '#schemas/receipts.ts';
import * as tenants from '#schemas/tenants.ts';
import * as timers from '#schemas/timers.ts';
import {
  attestationEvent,
  flagEvent,
  gateEvent,
  messageEvent,
  placementEvent,
  projectionEvent,
  receipt,
  tenantEvent,
  timerEvent,
} from '#test/support/arbitraries.ts';

const event: fc.Arbitrary<DomainEvent<string, object>> = fc.oneof(
  receipt.map((data) => ({ type: 'receipts.ReceiptRecorded', data })),
  tenantEvent,
  messageEvent,
  projectionEvent,
  attestationEvent,
  gateEvent,
  placementEvent,
  flagEvent,
  timerEvent,
);

/** The JSON schema of each event's newest version, by its type. */
const JSON_SCHEMAS: Readonly<
  Record<string, { readonly properties: object; readonly required?: readonly string[] | undefined }>
> = {
  'receipts.ReceiptRecorded': receiptSchema,
  'tenants.TenantCreated': tenants.tenantCreatedSchema,
  'tenants.TenantRenamed': tenants.tenantRenamedSchema,
  'tenants.TenantSuspended': tenants.tenantSuspendedSchema,
  'tenants.TenantResumed': tenants.tenantResumedSchema,
  'tenants.TokenIssued': tenants.tokenIssuedSchema,
  'tenants.TokenRevoked': tenants.tokenRevokedSchema,
  'messages.MessageConflicted': messages.messageConflictedSchema,
  'messages.LettersListed': messages.lettersListedSchema,
  'messages.LetterViewed': messages.letterViewedSchema,
  'messages.LetterReplayed': messages.letterReplayedSchema,
  'messages.LetterDiscarded': messages.letterDiscardedSchema,
  'messages.FlowStated': messages.flowStatedSchema,
  'projections.RebuildProved': projections.rebuildProvedSchema,
  'projections.FactSkipped': projections.factSkippedSchema,
  'attestations.AttestationRecorded': attestations.attestationRecordedSchema,
  'attestations.DriftLocated': attestations.driftLocatedSchema,
  'attestations.DriftPolicyChanged': attestations.driftPolicyChangedSchema,
  'attestations.DriftAlarmRaised': attestations.driftAlarmRaisedSchema,
  'attestations.BackfillCompleted': attestations.backfillCompletedSchema,
  'attestations.SpanDigested': attestations.spanDigestedSchema,
  'attestations.WriteAttested': attestations.writeAttestedSchema,
  'gates.WritePathRolledBack': gates.writePathRolledBackSchema,
  'gates.WritePathRestored': gates.writePathRestoredSchema,
  'placements.MoveStarted': placements.moveStartedSchema,
  'placements.TenantPlaced': placements.tenantPlacedSchema,
  'flags.FlagSet': flags.flagSetSchema,
  'flags.FlagRamped': flags.flagRampedSchema,
  'flags.FlagFrozen': flags.flagFrozenSchema,
  'flags.FreezeAcknowledged': flags.freezeAcknowledgedSchema,
  'flags.FlagRetired': flags.flagRetiredSchema,
  'flags.RampStarted': flags.rampStartedSchema,
  'flags.RampObserved': flags.rampObservedSchema,
  'flags.RampAdvised': flags.rampAdvisedSchema,
  'flags.RampEnded': flags.rampEndedSchema,
  'timers.TimerScheduled': timers.timerScheduledSchema,
  'timers.TimerFired': timers.timerFiredSchema,
};

describe('schemas/codec', () => {
  it('what is read has its members in canonical order, so that it is written without sorting', () => {
    fc.assert(
      fc.property(receipt, (data) => {
        const read = fromAvro(
          'receipts.ReceiptRecorded',
          toAvro('receipts.ReceiptRecorded', data, writeCanonical),
        );
        expect(Object.keys(read)).to.deep.equal(Object.keys(read).toSorted());
      }),
    );
  });

  it('every event goes to Avro and back unchanged', () => {
    fc.assert(
      fc.property(event, ({ type, data }) => {
        const back = fromAvro(type, toAvro(type, data, writeCanonical));
        expect(back).to.deep.equal(data);
        expect(faultsOf(type, eventSchema(type)?.version ?? 0, back)).to.deep.equal([]);
      }),
      { numRuns: 300 },
    );
  });

  it('equal payloads give equal bytes, whatever the order of their members', () => {
    const bytes = (data: object) => toAvro('receipts.ReceiptRecorded', data, writeCanonical).toString('hex');
    fc.assert(
      fc.property(
        receipt,
        (data) => bytes(data) === bytes(Object.fromEntries(Object.entries(data).reverse())),
      ),
    );
  });

  for (const { name, events } of domains) {
    it(`${name}.avsc and the JSON schemas have the same events, with the same members, the same ones required`, () => {
      const records = avroSchema(name);
      expect(records.map((record) => `${record.namespace}.${record.name}`)).to.have.members(
        Object.keys(events),
      );
      for (const { name: record, fields } of records) {
        const schema = JSON_SCHEMAS[`${name}.${record}`];
        if (!schema) throw new Error(`${name}.${record} is missing in this test's table`);
        expect(
          fields.map((field) => field.name),
          record,
        ).to.have.members(Object.keys(schema.properties));
        const required = fields.filter(({ type }) => !(Array.isArray(type) && type[0] === 'null'));
        expect(
          required.map((field) => field.name),
          record,
        ).to.have.members([...(schema.required ?? [])]);
      }
    });
  }

  it('refuses what is no payload, no record, or no event', () => {
    expect(() => toAvro('tenants.TenantRenamed', { display_name: 7 }, writeCanonical)).to.throw(
      'invalid "string": 7',
    );
    expect(() => toAvro('tenants.TenantRenamed', {}, writeCanonical)).to.throw('invalid "string": null');
    const bytes = toAvro('tenants.TenantRenamed', { display_name: 'Acme' }, writeCanonical);
    expect(() => fromAvro('tenants.TenantRenamed', bytes.subarray(1, 3))).to.throw();
    expect(() => fromAvro('tenants.TenantRenamed', Buffer.concat([bytes, bytes]))).to.throw();
    expect(() => fromAvro('tenants.Unknown', bytes)).to.throw('tenants.Unknown has no record');
  });
});
