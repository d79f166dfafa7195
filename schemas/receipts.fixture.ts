// Fixtures of receipts: a few busy actors and many quiet ones, operations that cause operations, all three versions, late
// and early clocks, names beyond ASCII, and inputs of which parts are withheld.
import type { Chance, EventGenerator, Saying, TenantSayings } from './fixture.ts';
import { type Instant, instantText, type TenantId } from './ids.ts';

const ACTIONS = [
  'db.export',
  'secret.read',
  'deploy.release',
  'iam.grant',
  'iam.revoke',
  'policy.update',
  'vm.stop',
  'key.rotate',
  'bucket.delete',
  'flag.change',
  'support.impersonate',
  'données.exporter',
] as const;
const REGIONS = ['eu-central-1', 'eu-west-1', 'us-east-1', 'ap-south-1'] as const;
const PEOPLE = ['zoë müller', '李雷', 'Ольга', 'أمينة', 'amélie@example.org', 'x̄ 😀'] as const;
const JUSTIFICATIONS = [
  'approved by on-call',
  'routine',
  'wegen Störung „42“',
  'incident\tbridge "B"',
] as const;
const ACTORS = 4_000;
/** Operations that a later one may name as its cause. */
const RECENT = 64;
const HOUR_MS = 3_600_000;

export const receiptsFixture: EventGenerator = {
  domain: 'receipts',
  perTenThousand: 9_985,
  forTenant: (tenant, chance) => sayings(tenant, chance),
  contradict: (saying) => ({
    ...saying,
    data: { ...saying.data, decision: saying.data['decision'] === 'allow' ? 'deny' : 'allow' },
  }),
};

const sayings = (tenant: TenantId, chance: Chance): TenantSayings => {
  const recent: string[] = [];
  let serial = 0;
  return {
    next: (at) => {
      serial += 1;
      const basis = basisOf(at, tenant, chance);
      const draw = chance.int(100);
      if (draw < 10) return version01(basis, chance);
      if (draw < 30) return version02(basis, chance);
      const opId = uuidV7(basis.occurredAt, chance);
      const opParentId = recent.length > 0 && chance.perMille(330) ? chance.pick(recent) : undefined;
      recent[Math.min(recent.length, serial % RECENT)] = opId;
      return version1(basis, { opId, opParentId }, chance);
    },
  };
};

interface Basis {
  readonly id: string;
  readonly tenant: TenantId;
  readonly occurredAt: Instant;
  /** The same moment as the source wrote it. */
  readonly written: string;
  readonly actor: string;
  readonly action: string;
  readonly decision: string;
}

const basisOf = (at: Instant, tenant: TenantId, chance: Chance): Basis => {
  const occurredAt = (at + clockError(chance)) as Instant;
  return {
    id: receiptIdOf(occurredAt, chance),
    tenant,
    occurredAt,
    written: writtenTime(occurredAt, chance),
    actor: chance.perMille(20) ? chance.pick(PEOPLE) : `svc-${chance.skewed(ACTORS)}@example.org`,
    action: ACTIONS[chance.skewed(ACTIONS.length)] as string,
    decision: chance.perMille(930) ? 'allow' : 'deny',
  };
};

/** Most are sent at once, one in fifty days later, one in two hundred by a clock that is ahead. */
const clockError = (chance: Chance): number => {
  const draw = chance.int(200);
  if (draw === 0) return chance.int(2_000);
  return draw < 5 ? -chance.int(72 * HOUR_MS) : -chance.int(400);
};

const writtenTime = (at: Instant, chance: Chance): string =>
  chance.perMille(100) ? instantText((at + 2 * HOUR_MS) as Instant).replace('Z', '+02:00') : instantText(at);

const receiptIdOf = (at: Instant, chance: Chance): string => {
  const draw = chance.int(100);
  if (draw < 10) return `git:${chance.hex(40)}`;
  return draw < 15 ? `run-${chance.hex(20).toUpperCase()}` : uuidV7(at, chance);
};

const uuidV7 = (at: Instant, chance: Chance): string => {
  const time = at.toString(16).padStart(12, '0');
  const rest = chance.hex(18);
  return `${time.slice(0, 8)}-${time.slice(8)}-7${rest.slice(0, 3)}-a${rest.slice(3, 6)}-${rest.slice(6)}`;
};

/** One receipt in twenty has a member that was withheld before it came: its hash stands where it was. */
const inputsOf = (chance: Chance): { readonly inputs: object; readonly masked: readonly string[] } => {
  const withheld = chance.perMille(50);
  const session = chance.hex(64);
  return {
    inputs: {
      justification: `ticket ${10_000 + chance.int(90_000)}: ${chance.pick(JUSTIFICATIONS)}`,
      request: {
        method: 'POST',
        path: `/v1/projects/p-${chance.skewed(900)}/objects/${chance.hex(16)}`,
        size: chance.int(1_000_000),
        weight: chance.int(1_000) / 8,
      },
      session: withheld ? { withheld: `sha256:${session}` } : session,
    },
    masked: withheld ? ['/inputs/session'] : chance.perMille(50) ? ['/actor', '/inputs/session'] : [],
  };
};

// Members stand in canonical order, so that writing the payload need not sort them.

const version1 = (
  { id, tenant, occurredAt, written, actor, action, decision }: Basis,
  { opId, opParentId }: Pick<Saying, 'opId' | 'opParentId'>,
  chance: Chance,
): Saying => {
  const region = chance.pick(REGIONS);
  const { inputs, masked } = inputsOf(chance);
  const data = {
    action,
    actor,
    created_at: written,
    decision,
    ...(chance.perMille(900) && { evidence_hash: `sha256:${chance.hex(64)}` }),
    ...(chance.perMille(20) && { ext: { 'example.org/note': { 2: 'b', 10: 'a' } } }),
    id,
    inputs,
    ...(chance.perMille(300) && { kid: `key-${chance.int(12)}` }),
    op_id: opId,
    ...(opParentId !== undefined && { op_parent_id: opParentId }),
    policy_version: `2026.${1 + chance.int(12)}.${chance.int(7)}`,
    ...(chance.perMille(20) && { proofs: [{ digest: chance.hex(64), type: 'build-log' }] }),
    region,
    ...(masked.length > 0 && { selective_fields: masked }),
    tenant,
  };
  return said(data, 3, { id, occurredAt, actor, opId, opParentId, region });
};

const version02 = (
  { id, tenant, occurredAt, written, actor, action, decision }: Basis,
  chance: Chance,
): Saying => {
  const region = chance.pick(REGIONS);
  const { inputs, masked } = inputsOf(chance);
  const data = {
    action,
    actor,
    decision,
    evidence: chance.hex(64),
    ...(masked.length > 0 && { fields_mask: masked }),
    id,
    inputs,
    policy: `2025.${1 + chance.int(12)}`,
    region,
    tenant,
    timestamp: written,
    version: '0.2',
  };
  return said(data, 2, { id, occurredAt, actor, region });
};

const version01 = (
  { id, tenant, occurredAt, written, actor, action, decision }: Basis,
  chance: Chance,
): Saying => {
  const data = {
    action,
    actor,
    decision,
    evidence: chance.hex(64),
    id,
    policy: `2024.${1 + chance.int(12)}`,
    tenant,
    timestamp: written,
    version: '0.1',
  };
  return said(data, 1, { id, occurredAt, actor });
};

const said = (
  data: Saying['data'],
  schemaVersion: number,
  { id, ...authorship }: Omit<Saying, 'key' | 'type' | 'schemaVersion' | 'data'> & { readonly id: string },
): Saying => ({ key: id, type: 'receipts.ReceiptRecorded', schemaVersion, data, ...authorship });
