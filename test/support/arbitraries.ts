// Random sound payloads of every event, for properties. Written by hand and not derived from the schemas, so that
// each can catch the other in a mistake.
import fc from 'fast-check';
import type { AttestationEvent } from '#schemas/attestations.ts';
import { type FlagEvent, FREEZE_CAUSES, UNUSABLE } from '#schemas/flags.ts';
import type { GateEvent } from '#schemas/gates.ts';
import type { MessageEvent } from '#schemas/messages.ts';
import type { PlacementEvent } from '#schemas/placements.ts';
import type { ProjectionEvent } from '#schemas/projections.ts';
import type { Receipt, ReceiptV01, ReceiptV02 } from '#schemas/receipts.ts';
import type { TenantEvent } from '#schemas/tenants.ts';
import type { TimerEvent } from '#schemas/timers.ts';

type Arb<T> = fc.Arbitrary<T>;

/** A record whose other members may be absent; never present and undefined. */
const record = <T>(required: object, optional: object = {}): Arb<T> =>
  fc.record({ ...required, ...optional } as Record<string, Arb<unknown>>, {
    requiredKeys: Object.keys(required),
    noNullPrototype: true,
  }) as unknown as Arb<T>;

const hex = (digits: number): Arb<string> =>
  fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: digits, maxLength: digits });
const visible = (max: number): Arb<string> =>
  fc.string({
    unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
    minLength: 1,
    maxLength: max,
  });
const text = (max: number): Arb<string> =>
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: Math.floor(max / 8) });

const name: Arb<string> = fc
  .string({ unit: 'grapheme', maxLength: 12 })
  .filter((key) => key !== '__proto__' && key !== 'toJSON');

/** Any JSON value that the strict front door lets in. */
export const json: Arb<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    fc
      .double({ min: -9e15, max: 9e15, noNaN: true })
      .map((number) => (Math.abs(number) < 1e-300 ? 0 : number)),
    fc.string({ unit: 'grapheme' }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(name, tie('value'), { maxKeys: 4, noNullPrototype: true }),
  ),
})).value;

export const jsonObject: Arb<Record<string, unknown>> = fc.dictionary(name, json, {
  maxKeys: 5,
  noNullPrototype: true,
});
const ext: Arb<Record<string, unknown>> = fc.dictionary(name, json, {
  minKeys: 1,
  maxKeys: 3,
  noNullPrototype: true,
});

/** RFC 3339 with any offset and up to nine digits of a second. */
export const dateTime: Arb<string> = fc
  .tuple(
    fc.date({
      min: new Date('1970-01-01T00:00:00Z'),
      max: new Date('2100-01-01T00:00:00Z'),
      noInvalidDate: true,
    }),
    fc.constantFrom('Z', '+00:00', '-05:00', '+05:45', '+14:00'),
    hex(9),
  )
  .map(([date, offset, digits]) => {
    const fraction = digits.replaceAll(/\D/gu, '');
    return `${date.toISOString().slice(0, 19)}${fraction ? `.${fraction}` : ''}${offset}`;
  });

export const tenantText: Arb<string> = fc.stringMatching(/^[a-z][a-z0-9-]{1,20}$/);

const core = {
  id: fc.oneof(fc.uuid(), visible(128)),
  action: text(256),
  actor: text(256),
  tenant: tenantText,
  decision: fc.constantFrom('allow', 'deny'),
};
const asked = { inputs: jsonObject, region: visible(64) };
const operation = { kid: visible(256), op_id: visible(128), op_parent_id: visible(128) };
const older = { evidence: hex(64), policy: text(256) };
const proofs = fc.array(
  fc.tuple(text(128), jsonObject).map(([type, rest]) => ({ ...rest, type })),
  { maxLength: 3 },
);
const pointer = fc
  .array(fc.string({ unit: 'grapheme', maxLength: 6 }), { minLength: 1, maxLength: 3 })
  .map((names) => names.map((part) => `/${part.replaceAll('~', '~0').replaceAll('/', '~1')}`).join(''));
const pointers = fc.uniqueArray(pointer, { maxLength: 4 });

const otherHash = fc.oneof(
  hex(40).map((digits) => `git-sha1:${digits}`),
  hex(96).map((digits) => `sha384:${digits}`),
  hex(128).map((digits) => `sha512:${digits}`),
  hex(64).map((digits) => `blake3:${digits}`),
);

const carriedV1 = record({}, { ...operation, evidence_hash: otherHash }) as Arb<Record<string, unknown>>;
const carriedV02 = record({}, { ...asked, proofs, fields_mask: pointers }) as Arb<Record<string, unknown>>;

/** Puts what a newer version said into `ext`, as going down does: never nothing, and never a second evidence. */
const carrying = <T extends { evidence?: string; ext?: object }>(
  document: Arb<T>,
  key: string,
  carried: Arb<Record<string, unknown>>,
): Arb<T> =>
  fc.tuple(document, fc.option(carried, { nil: undefined })).map(([said, more]) => {
    const { evidence_hash, ...rest } = more ?? {};
    const kept =
      said.evidence === undefined && evidence_hash !== undefined ? { ...rest, evidence_hash } : rest;
    return Object.keys(kept).length === 0 ? said : { ...said, ext: { ...said.ext, [key]: kept } };
  });

const bareV01 = record<ReceiptV01>(
  { ...core, version: fc.constant('0.1'), timestamp: dateTime },
  { ...older, ext },
);
const bareV02 = record<ReceiptV02>(
  { ...core, version: fc.constant('0.2'), timestamp: dateTime },
  { ...older, ...asked, proofs, fields_mask: pointers, ext },
);

export const receiptV01 = carrying(
  carrying(bareV01, 'prov-ledger/0.2', carriedV02),
  'prov-ledger/1',
  carriedV1,
);
export const receiptV02 = carrying(bareV02, 'prov-ledger/1', carriedV1);
export const receipt: Arb<Receipt> = record(
  { ...core, created_at: dateTime },
  {
    ...asked,
    ...operation,
    evidence_hash: fc.oneof(
      hex(64).map((digits) => `sha256:${digits}`),
      otherHash,
    ),
    policy_version: text(256),
    selective_fields: pointers,
    proofs,
    ext,
  },
);

const tokenId = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);
const scopes = fc.uniqueArray(
  fc.constantFrom('receipts:write', 'receipts:read', 'ledger:read', 'tenants:admin'),
  { minLength: 1 },
);

export const tenantEvent: Arb<TenantEvent> = fc.oneof(
  ...Object.entries({
    'tenants.TenantCreated': record({ tenant: tenantText, display_name: text(128) }),
    'tenants.TenantRenamed': record({ display_name: text(128) }),
    'tenants.TenantSuspended': record({ reason: text(512) }),
    'tenants.TenantResumed': record({}),
    'tenants.TokenIssued': record(
      { token_id: tokenId, token_hash: hex(64), scopes },
      { expires_at: dateTime, label: text(128) },
    ),
    'tenants.TokenRevoked': record({ token_id: tokenId }, { reason: text(512) }),
  }).map(([type, data]) => data.map((payload) => ({ type, data: payload }) as TenantEvent)),
);

const count = fc.integer({ min: 0, max: 9_000_000_000_000_000 });
const letter = { letter: count, topic: visible(249), partition: count, offset: count };

export const messageEvent: Arb<MessageEvent> = fc.oneof(
  ...Object.entries({
    'messages.MessageConflicted': record({
      topic: visible(249),
      partition: count,
      offset: count,
      id: visible(128),
      first_seq: count,
      digest: hex(64),
    }),
    'messages.LettersListed': record({ listed: count }, { topic: visible(249) }),
    'messages.LetterViewed': record(letter),
    'messages.LetterReplayed': record(letter),
    'messages.LetterDiscarded': record({ ...letter, reason: text(512) }),
    'messages.FlowStated': record({
      topic: visible(249),
      partition: count,
      hour: dateTime,
      received: count,
      accepted: count,
      duplicate: count,
      conflict: count,
      dead_lettered: count,
      held: count,
      discarded: count,
    }),
  }).map(([type, data]) => data.map((payload) => ({ type, data: payload }) as MessageEvent)),
);

const projection = { projection: fc.stringMatching(/^[a-z][a-z0-9_]{0,20}$/) };

export const projectionEvent: Arb<ProjectionEvent> = fc.oneof(
  record({
    ...projection,
    version: fc.nat().map((n) => n + 1),
    build: fc.nat().map((n) => n + 1),
    source_digest: hex(64),
    as_of_seq: count,
    as_of_hash: hex(64),
    rows: count,
    digest: hex(64),
  }).map((data) => ({ type: 'projections.RebuildProved', data }) as ProjectionEvent),
  record({ ...projection, seq: fc.nat().map((n) => n + 1), reason: text(512) }).map(
    (data) => ({ type: 'projections.FactSkipped', data }) as ProjectionEvent,
  ),
);

const side = (which: string) => ({
  [`${which}_store`]: fc.constantFrom('postgres', 'neo4j'),
  [`${which}_seq`]: count,
  [`${which}_root`]: hex(64),
});
const ofRoute = { route: fc.stringMatching(/^[!-~]{1,40}$/) };
const positive = fc.nat().map((n) => n + 1);

export const attestationEvent: Arb<AttestationEvent> = fc.oneof(
  record({
    ...ofRoute,
    ...side('left'),
    ...side('right'),
    elements: count,
    divergent: count,
    verdict: fc.constantFrom('clean', 'divergent', 'lag'),
  }).map((data) => ({ type: 'attestations.AttestationRecorded', data }) as AttestationEvent),
  record(
    {
      ...ofRoute,
      as_of_seq: count,
      class: fc.constantFrom('missing', 'extra', 'value', 'order'),
      element: text(256),
    },
    { field: text(256), left_digest: hex(64), right_digest: hex(64) },
  ).map((data) => ({ type: 'attestations.DriftLocated', data }) as AttestationEvent),
  record({ ...ofRoute, divergent_min: positive, alarm_after: positive, clean_after: positive }).map(
    (data) => ({ type: 'attestations.DriftPolicyChanged', data }) as AttestationEvent,
  ),
  record({
    ...ofRoute,
    alarm_id: hex(32),
    as_of_seq: count,
    divergent: positive,
    in_a_row: positive,
  }).map((data) => ({ type: 'attestations.DriftAlarmRaised', data }) as AttestationEvent),
  record({ ...ofRoute, to_seq: count, operations: count }).map(
    (data) => ({ type: 'attestations.BackfillCompleted', data }) as AttestationEvent,
  ),
  record({
    ...ofRoute,
    fold_version: positive,
    from_seq: positive,
    to_seq: positive,
    operations: count,
    elements: count,
    root: hex(64),
  }).map((data) => ({ type: 'attestations.SpanDigested', data }) as AttestationEvent),
  record({
    ...ofRoute,
    op_id: fc.stringMatching(/^[!-~]{1,40}$/),
    left_store: fc.constantFrom('postgres', 'neo4j'),
    left_digest: hex(64),
    right_store: fc.constantFrom('postgres', 'neo4j'),
    right_digest: hex(64),
    elements: count,
    divergent: count,
  }).map((data) => ({ type: 'attestations.WriteAttested', data }) as AttestationEvent),
);

export const gateEvent: Arb<GateEvent> = fc.oneof(
  record({ ...ofRoute, epoch: positive, reason: text(512) }, { alarm_id: hex(32) }).map(
    (data) => ({ type: 'gates.WritePathRolledBack', data }) as GateEvent,
  ),
  record({
    ...ofRoute,
    epoch: positive,
    grounds: fc.constantFrom('attested', 'ordered'),
    reason: text(512),
  }).map((data) => ({ type: 'gates.WritePathRestored', data }) as GateEvent),
);

const shardName = fc.stringMatching(/^[a-z][a-z0-9-]{0,31}$/);
const ofMove = { placed_tenant: fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,62}$/), epoch: positive };

export const placementEvent: Arb<PlacementEvent> = fc.oneof(
  record({ ...ofMove, from: shardName, to: shardName }).map(
    (data) => ({ type: 'placements.MoveStarted', data }) as PlacementEvent,
  ),
  record({ ...ofMove, shard: shardName }).map(
    (data) => ({ type: 'placements.TenantPlaced', data }) as PlacementEvent,
  ),
);

const ofRamp = { feature: fc.stringMatching(/^[!-~]{1,40}$/), ramp_id: hex(16) };
const { feature } = ofRamp;
const pct = fc.integer({ min: 1, max: 100 });
const cause = fc.constantFrom(...FREEZE_CAUSES);
const ofPolicy = {
  hold_seconds: fc.integer({ min: 1, max: 86_400 }),
  age_max_seconds: fc.integer({ min: 1, max: 86_400 }),
  samples_min: positive,
  error_ppm_max: fc.integer({ min: 0, max: 1_000_000 }),
  added_ppm_max: fc.integer({ min: 1, max: 1_000_000 }),
};

/** An event of this name with these members; those of the second kind may be absent. */
const flag = (
  name: string,
  ...members: readonly [Record<string, Arb<unknown>>, Record<string, Arb<unknown>>?]
): Arb<FlagEvent> => record(...members).map((data) => ({ type: `flags.${name}`, data }) as FlagEvent);

export const flagEvent: Arb<FlagEvent> = fc.oneof(
  flag('FlagSet', { feature, pct, reason: text(512) }, { description: text(512) }),
  flag('FlagRamped', { ...ofRamp, from_pct: pct, to_pct: pct, reason: text(512) }),
  flag('FlagFrozen', { feature, cause, reason: text(512) }, { ramp_id: hex(16) }),
  flag('FreezeAcknowledged', { feature, reason: text(512) }),
  flag('FlagRetired', { feature, reason: text(512) }),
  flag('RampStarted', {
    ...ofRamp,
    ...ofPolicy,
    from_pct: pct,
    steps: fc.uniqueArray(pct, { minLength: 1, maxLength: 5 }),
    canaries: fc.uniqueArray(tenantText, { maxLength: 3 }),
    dry_run: fc.boolean(),
  }),
  flag(
    'RampObserved',
    { ...ofRamp, of: tenantText, window_from: dateTime, window_to: dateTime, source: text(256) },
    {
      exposed_requests: count,
      exposed_errors: count,
      control_requests: count,
      control_errors: count,
      unusable: fc.constantFrom(...UNUSABLE),
    },
  ),
  flag('RampAdvised', { ...ofRamp, reason: text(512) }, { to_pct: pct, cause }),
  flag('RampEnded', { ...ofRamp, outcome: fc.constantFrom('completed', 'stopped'), reason: text(512) }),
);

const timer = { timer_id: visible(40), saga: visible(20), key: text(256), due_at: dateTime };
export const timerEvent: Arb<TimerEvent> = fc
  .tuple(fc.constantFrom('timers.TimerScheduled', 'timers.TimerFired'), record(timer))
  .map(([type, data]) => ({ type, data }) as TimerEvent);
