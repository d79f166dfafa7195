// Administration over HTTP: a body becomes a command to the tenants domain, whose decider says yes or no, and a refusal
// becomes a problem. What was changed, and by whose token, is a fact of the chain of the tenant that it is about.

import { randomUUID } from 'node:crypto';
import type { CommandContext, Decider, Refusal } from '#commands/decider.ts';
import { type Outcome, runCommand } from '#commands/run.ts';
import { OPERATORS, type TenantCommand, type TenantRefusal, tenants } from '#commands/tenants.ts';
import { parseStrictBytes } from '#proofs/canonical.ts';
import type { DomainEvent, Recorded } from '#schemas/event.ts';
import { faultsAgainst, tenantName } from '#schemas/faults.ts';
import { type Instant, instantText, MalformedId, type TenantId, tenantId } from '#schemas/ids.ts';
import type { LastUses } from '#streams/postgres/token-uses.ts';
import type { StreamStore } from '#streams/stream.ts';
import type { Caller } from './auth.ts';
import { idempotencyKey } from './idempotency.ts';
import type { Parameter } from './operation.ts';
import { bodyMalformed, bodyProblem } from './problem-causes.ts';
import { type Problem, type ProblemCode, problem } from './problems.ts';
import { REPLAYED } from './receipt-answers.ts';
import type { Call } from './route.ts';
import { jsonReply, problemReply, type Reply } from './route.ts';
import { traceparentOf } from './traceparent.ts';

export interface AdminParts {
  readonly store: Pick<StreamStore, 'append' | 'find' | 'head' | 'heads' | 'readStream'>;
  readonly clock: () => Instant;
  readonly lastUses?: LastUses | undefined;
}

/**
 * A scope of administration opens nothing for tokens of other tenants, whoever gave it to them: the right over all
 * tenants comes with the tenant of the operators, and with it alone.
 */
export const forOperators =
  (scope: string, handle: (call: Call, caller: Caller) => Promise<Reply>) =>
  async (call: Call, caller: Caller): Promise<Reply> => {
    if (caller.tenant === OPERATORS) return await handle(call, caller);
    const detail = `${scope} opens something for tokens of the tenant ${OPERATORS} only`;
    return problemReply(problem('scope-missing', detail, { scope }), call.requestId);
  };

/** Who did it, as it is put on record: the token. */
export const actorOf = ({ tenant, tokenId }: Caller): string => `${tenant}/${tokenId}`.slice(0, 256);

/** Holds a body to the schema that the route declares for it. A body may be left out where `{}` fits. */
export const bodyReader = <Body>(schema: object): ((call: Call) => Body | Problem) => {
  const faultsOf = faultsAgainst(schema as never);
  return ({ body }) => {
    if (body !== undefined && !Buffer.isBuffer(body))
      return problem('media-type-unsupported', 'the body is no JSON document');
    const read = parseStrictBytes(body ?? Buffer.from('{}'));
    if (!read.ok) return bodyProblem(read.error);
    const faults = faultsOf(read.value);
    return faults.length > 0 ? bodyMalformed(faults) : (read.value as Body);
  };
};

/** The tenant that the path names. */
export const namedTenant = ({ params: { tenant = '' } }: Call): TenantId | Problem => {
  try {
    return tenantId(tenant);
  } catch (error) {
    if (error instanceof MalformedId) return noSuchTenant(tenant);
    throw error;
  }
};

export const noSuchTenant = (tenant: string): Problem =>
  problem('no-such-tenant', `there is no tenant ${tenant.slice(0, 63)}`);

type ChangedStore = Pick<StreamStore, 'append' | 'find' | 'readStream'>;

export interface Change {
  readonly tenant: TenantId;
  readonly command: TenantCommand;
}

export type Changed = { readonly fact: Recorded; readonly repeated: boolean } | Problem;

/** Of what is recorded at once, or was by an earlier request with the same key. */
export const RECORDED_ANSWERS = {
  201: {
    description: 'It is recorded: now, or by an earlier request with the same key.',
    headers: { [REPLAYED]: 'true when an earlier request recorded it' },
    media: [{ type: 'application/json', schema: 'Change' }],
  },
} as const;

export const tenantParameter = {
  in: 'path',
  description: 'the tenant',
  schema: tenantName,
  example: 'acme',
} as const;

export const keyParameter: Parameter = {
  in: 'header',
  description: 'the same key with the same body gets the first answer again, for ever',
  schema: { type: 'string' },
  example: '"5f0c9d2e"',
};

/** What may come of any change of a tenant that is there. */
export const CHANGE_PROBLEMS = [
  'no-such-tenant',
  'state-forbids',
  'body-malformed',
  'idempotency-key-malformed',
  'idempotency-key-taken',
] as const;

export const NO_STORE = { 'cache-control': 'no-store' };

/** The answer to a change that is recorded, now or by an earlier request with the same key. */
export const changeReply = ({ fact, repeated }: Exclude<Changed, Problem>): Reply =>
  jsonReply(factMembers(fact), 200, { ...(repeated && REPEATED), ...NO_STORE });

export const REPEATED = { [REPLAYED.toLowerCase()]: 'true' };

/** A command to some domain, and what its refusals are called here. */
interface Asked<Command, State, E extends DomainEvent, R extends Refusal> {
  readonly tenant: TenantId;
  readonly command: Command;
  readonly decider: Decider<Command, State, E, R>;
  readonly codes: { readonly [name in R['refusal']]: ProblemCode };
  /** Which operation it belongs to, and what caused that one. */
  readonly lineage?: Pick<CommandContext, 'opId' | 'opParentId'>;
}

interface Asking {
  readonly call: Call;
  readonly caller: Caller;
}

/** Has it decided and recorded, by whose token it comes. */
export const changeBy = async <Command, State, E extends DomainEvent, R extends Refusal>(
  { store, clock }: Pick<AdminParts, 'clock'> & { readonly store: ChangedStore },
  { call, caller }: Asking,
  { tenant, command, decider, codes, lineage }: Asked<Command, State, E, R>,
): Promise<Changed> => {
  const key = idempotencyKey(call);
  if (typeof key === 'object') return key;
  const context = {
    tenant,
    actor: actorOf(caller),
    at: clock(),
    // No receipt's id has a space in it: the two never meet.
    key: key === undefined ? randomUUID() : `admin ${key}`,
    traceparent: traceparentOf(call.headers['traceparent']),
    ...lineage,
  };
  const outcome: Outcome<R> = await runCommand({ store, decider }, command, context);
  switch (outcome.kind) {
    case 'recorded':
    case 'repeated':
      return { fact: outcome.facts[0]?.fact as Recorded, repeated: outcome.kind === 'repeated' };
    case 'refused': {
      const { refusal } = outcome;
      if ('faults' in refusal) return bodyMalformed(refusal.faults);
      const name = refusal.refusal as R['refusal'];
      return problem(codes[name], refusal.message, { refusal: name });
    }
    case 'no-such-tenant':
      return noSuchTenant(tenant);
    case 'id-taken':
      return keyTaken(outcome.first);
    default:
      return outcome satisfies never;
  }
};

export const change = (parts: AdminParts, asking: Asking, { tenant, command }: Change): Promise<Changed> =>
  changeBy(parts, asking, { tenant, command, decider: tenants, codes: REFUSALS });

const REFUSALS: { readonly [name in TenantRefusal['refusal']]: ProblemCode } = {
  TenantAlreadyExists: 'tenant-exists',
  TenantUnknown: 'no-such-tenant',
  TokenUnknown: 'no-such-token',
  TenantSuspended: 'state-forbids',
  TenantNotSuspended: 'state-forbids',
  TokenIdTaken: 'state-forbids',
  TokenAlreadyExpired: 'state-forbids',
  TokenAlreadyRevoked: 'state-forbids',
};

/** Of a token that was issued its id is told: its secret was shown once, and who lost it revokes it by that. */
const keyTaken = (first: Recorded): Problem => {
  const { token_id: issued } = JSON.parse(first.payload) as { readonly token_id?: string };
  return problem(
    'idempotency-key-taken',
    `the key stands for what was recorded as ${first.tenant}/${first.seq}`,
    { first: { ...factMembers(first), ...(issued !== undefined && { token_id: issued }) } },
  );
};

/** Where a change stands in the chain. */
export const factMembers = ({ tenant, seq, type, recordedAt, hash }: Recorded) => ({
  tenant,
  seq,
  type,
  recorded_at: instantText(recordedAt),
  hash,
});
