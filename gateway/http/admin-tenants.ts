// Tenants, for operators: open a chain, find one, let nobody in for a while.

import type { TenantCommand } from '#commands/tenants.ts';
import { OPERATORS } from '#commands/tenants.ts';
import { tenantName } from '#schemas/faults.ts';
import { tenantId } from '#schemas/ids.ts';
import type { Head } from '#streams/stream.ts';
import { tenantDocument, tenantState } from '../tenancy/documents.ts';
import { newTenantSchema, nothingSchema, suspensionSchema, tenantNameSchema } from './admin-bodies.ts';
import {
  type AdminParts,
  bodyReader,
  CHANGE_PROBLEMS,
  change,
  changeReply,
  factMembers,
  forOperators,
  keyParameter,
  NO_STORE,
  namedTenant,
  noSuchTenant,
  REPEATED,
  tenantParameter,
} from './admin-command.ts';
import type { Operation } from './operation.ts';
import { problem } from './problems.ts';
import { isProblem, queryReader } from './query.ts';
import { REPLAYED } from './receipt-answers.ts';
import { jsonReply, problemReply, type Route } from './route.ts';

const CHANGED = {
  200: {
    description: 'It is recorded: now, or by an earlier request with the same key.',
    media: [{ type: 'application/json', schema: 'Change' }],
  },
} as const;

export const tenantOperations = {
  create: {
    id: 'createTenant',
    records: ['tenants.TenantCreated'],
    subject: 'administration',
    summary: 'Opens the chain of a new tenant.',
    parameters: { 'Idempotency-Key': keyParameter },
    body: [
      {
        type: 'application/json',
        schema: 'NewTenant',
        example: { tenant: 'acme', display_name: 'Acme GmbH' },
      },
    ],
    answers: {
      201: {
        description: 'The tenant is there: now, or by an earlier request with the same key.',
        headers: { Location: 'where it is', [REPLAYED]: 'true when an earlier request made it' },
        media: [{ type: 'application/json', schema: 'Change' }],
      },
    },
    problems: ['tenant-exists', 'body-malformed', 'idempotency-key-malformed', 'idempotency-key-taken'],
  },
  list: {
    id: 'listTenants',
    subject: 'administration',
    summary: 'All tenants by their names, a page at a time.',
    parameters: {
      limit: {
        in: 'query',
        description: 'tenants on a page; 100 unless told',
        schema: {
          type: 'string',
          pattern: '^([1-9]|[1-9][0-9]|[1-4][0-9][0-9]|500)$',
          description: 'a whole number from 1 to 500',
        },
      },
      cursor: {
        in: 'query',
        description: 'next_cursor of the page before',
        schema: { ...tenantName, description: 'the next_cursor of an earlier answer' },
      },
    },
    answers: {
      200: { description: 'A page.', media: [{ type: 'application/json', schema: 'TenantPage' }] },
    },
    problems: ['query-malformed'],
  },
  get: {
    id: 'getTenant',
    subject: 'administration',
    summary: 'One tenant: its state, and where its chain ends.',
    parameters: { tenant: tenantParameter },
    answers: {
      200: { description: 'The tenant.', media: [{ type: 'application/json', schema: 'Tenant' }] },
    },
    problems: ['no-such-tenant'],
  },
  rename: {
    id: 'renameTenant',
    records: ['tenants.TenantRenamed'],
    subject: 'administration',
    summary: 'Changes the name that people know a tenant by.',
    parameters: { tenant: tenantParameter, 'Idempotency-Key': keyParameter },
    body: [{ type: 'application/json', schema: 'TenantName', example: { display_name: 'Acme AG' } }],
    answers: CHANGED,
    problems: CHANGE_PROBLEMS,
  },
  suspend: {
    id: 'suspendTenant',
    records: ['tenants.TenantSuspended'],
    subject: 'administration',
    summary: 'Lets nobody of the tenant in until it is resumed.',
    parameters: { tenant: tenantParameter, 'Idempotency-Key': keyParameter },
    body: [{ type: 'application/json', schema: 'Suspension', example: { reason: 'unpaid' } }],
    answers: CHANGED,
    problems: CHANGE_PROBLEMS,
  },
  resume: {
    id: 'resumeTenant',
    records: ['tenants.TenantResumed'],
    subject: 'administration',
    summary: "Lets a suspended tenant's tokens in again.",
    parameters: { tenant: tenantParameter, 'Idempotency-Key': keyParameter },
    answers: CHANGED,
    problems: CHANGE_PROBLEMS,
  },
} as const satisfies { readonly [name: string]: Operation };

const SCOPE = 'tenants:admin';
const GUARD = { scope: SCOPE } as const;
const PAGE = 100;

export const tenantRoutes = (parts: AdminParts): readonly Route[] => [
  { method: 'POST', path: '/tenants', guard: GUARD, about: tenantOperations.create, handle: create(parts) },
  { method: 'GET', path: '/tenants', guard: GUARD, about: tenantOperations.list, handle: list(parts) },
  { method: 'GET', path: '/tenants/{tenant}', guard: GUARD, about: tenantOperations.get, handle: get(parts) },
  {
    method: 'POST',
    path: '/tenants/{tenant}/rename',
    guard: GUARD,
    about: tenantOperations.rename,
    handle: changing<{ readonly display_name: string }>(parts, tenantNameSchema, ({ display_name }) => ({
      type: 'RenameTenant',
      displayName: display_name,
    })),
  },
  {
    method: 'POST',
    path: '/tenants/{tenant}/suspend',
    guard: GUARD,
    about: tenantOperations.suspend,
    handle: changing<{ readonly reason: string }>(parts, suspensionSchema, ({ reason }) => ({
      type: 'SuspendTenant',
      reason,
    })),
  },
  {
    method: 'POST',
    path: '/tenants/{tenant}/resume',
    guard: GUARD,
    about: tenantOperations.resume,
    handle: changing(parts, nothingSchema, () => ({ type: 'ResumeTenant' })),
  },
];

const create = (parts: AdminParts) => {
  const read = bodyReader<{ readonly tenant: string; readonly display_name?: string }>(newTenantSchema);
  return forOperators(SCOPE, async (call, caller) => {
    const body = read(call);
    if (isProblem(body)) return problemReply(body, call.requestId);
    const { tenant, display_name = tenant } = body;
    const command = { type: 'CreateTenant', displayName: display_name } as const;
    const done = await change(parts, { call, caller }, { tenant: tenantId(tenant), command });
    if (isProblem(done)) return problemReply(done, call.requestId);
    const headers = { location: `/tenants/${tenant}`, ...(done.repeated && REPEATED) };
    return jsonReply(factMembers(done.fact), 201, { ...headers, ...NO_STORE });
  });
};

const changing = <Body>(parts: AdminParts, schema: object, commandOf: (body: Body) => TenantCommand) => {
  const read = bodyReader<Body & object>(schema);
  return forOperators(SCOPE, async (call, caller) => {
    const body = read(call);
    if (isProblem(body)) return problemReply(body, call.requestId);
    const tenant = namedTenant(call);
    if (typeof tenant === 'object') return problemReply(tenant, call.requestId);
    const command = commandOf(body);
    // With it every operator would be locked out by one of them.
    if (tenant === OPERATORS && command.type === 'SuspendTenant') {
      const detail = `${OPERATORS} is suspended on the command line only: prov-ledger tenant suspend ${OPERATORS}`;
      return problemReply(problem('state-forbids', detail), call.requestId);
    }
    const done = await change(parts, { call, caller }, { tenant, command });
    if (isProblem(done)) return problemReply(done, call.requestId);
    return changeReply(done);
  });
};

const list = ({ store }: AdminParts) => {
  const readQuery = queryReader(tenantOperations.list);
  return forOperators(SCOPE, async (call) => {
    const values = readQuery(call.query);
    if (isProblem(values)) return problemReply(values, call.requestId);
    const { limit = String(PAGE), cursor = '' } = values;
    const heads = (await store.heads()).filter(({ tenant }) => tenant > cursor).sort(byName);
    const shown = heads.slice(0, Number(limit));
    const documents = shown.map(async (head) => tenantDocument(head, await tenantState(store, head.tenant)));
    const more = heads.length > shown.length && { next_cursor: shown.at(-1)?.tenant };
    return jsonReply({ tenants: await Promise.all(documents), ...more }, 200, NO_STORE);
  });
};

const byName = (a: Head, b: Head): number => (a.tenant < b.tenant ? -1 : 1);

const get = ({ store }: AdminParts) =>
  forOperators(SCOPE, async (call) => {
    const tenant = namedTenant(call);
    if (typeof tenant === 'object') return problemReply(tenant, call.requestId);
    const head = await store.head(tenant);
    if (!head) return problemReply(noSuchTenant(tenant), call.requestId);
    return jsonReply(tenantDocument(head, await tenantState(store, tenant)), 200, NO_STORE);
  });
