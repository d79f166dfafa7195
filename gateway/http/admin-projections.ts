// Read models, for operators: how far they are, and what is done about one that is behind, has halted or is not trusted.
import type { TenantId } from '#schemas/ids.ts';
import type { Skip } from '../projections/parked.ts';
import type { ReadModels } from '../projections/read-models.ts';
import { pauseSchema, skipSchema } from './admin-bodies.ts';
import {
  type AdminParts,
  actorOf,
  bodyReader,
  forOperators,
  NO_STORE,
  namedTenant,
  noSuchTenant,
  tenantParameter,
} from './admin-command.ts';
import { type JobParts, jobRoutes } from './admin-jobs.ts';
import {
  forReadModel,
  PROJECTIONS_GUARD as GUARD,
  OF_TENANT_BODY,
  PROJECTIONS_SCOPE,
  projectionParameter,
  tenantInBody,
} from './named-projection.ts';
import type { Operation } from './operation.ts';
import { bodyMalformed } from './problem-causes.ts';
import { type Problem, problem } from './problems.ts';
import { isProblem } from './query.ts';
import { jsonReply, problemReply, type Route } from './route.ts';

const STANDING = {
  200: {
    description: 'How it stands now.',
    media: [{ type: 'application/json', schema: 'ProjectionChange' }],
  },
} as const;

export const projectionOperations = {
  list: {
    id: 'listProjections',
    subject: 'administration',
    summary: 'The read models: how far each is behind, over all tenants.',
    answers: {
      200: { description: 'All of them.', media: [{ type: 'application/json', schema: 'Projections' }] },
    },
  },
  ofTenant: {
    id: 'getTenantProjections',
    subject: 'administration',
    summary: 'How far each read model is with one tenant, and why one has halted.',
    parameters: { tenant: tenantParameter },
    answers: {
      200: {
        description: 'All of them.',
        media: [{ type: 'application/json', schema: 'TenantProjections' }],
      },
    },
    problems: ['no-such-tenant'],
  },
  pause: {
    id: 'pauseProjection',
    records: [],
    subject: 'administration',
    summary: 'Lets nobody take a read model further until it is resumed; it can be asked meanwhile.',
    parameters: { projection: projectionParameter },
    body: [{ type: 'application/json', schema: 'Pause', example: { reason: 'the disk is full' } }],
    answers: STANDING,
    problems: ['no-such-projection', 'body-malformed'],
  },
  resume: {
    id: 'resumeProjection',
    records: [],
    subject: 'administration',
    summary: 'Lets a paused read model go on; with a tenant: lets a halted one try the same fact again.',
    parameters: { projection: projectionParameter },
    body: OF_TENANT_BODY,
    answers: STANDING,
    problems: ['no-such-projection', 'no-such-tenant', 'projection-goes-on', 'body-malformed'],
  },
  parked: {
    id: 'listParkedFacts',
    subject: 'administration',
    summary: 'The facts that a read model has halted at, each for one tenant, and why.',
    parameters: { projection: projectionParameter },
    answers: {
      200: {
        description: 'By tenant, 1,000 at most.',
        media: [{ type: 'application/json', schema: 'ParkedFacts' }],
      },
    },
    problems: ['no-such-projection'],
  },
  skip: {
    id: 'skipParkedFact',
    records: ['projections.FactSkipped'],
    subject: 'administration',
    summary:
      'Passes over the fact that a read model has halted at, now and in every rebuild, and lets it go on.',
    parameters: { projection: projectionParameter },
    body: [
      {
        type: 'application/json',
        schema: 'FactSkip',
        example: { tenant: 'acme', seq: 7, reason: 'see ticket 4711' },
      },
    ],
    answers: STANDING,
    problems: ['no-such-projection', 'no-such-tenant', 'projection-goes-on', 'not-parked', 'body-malformed'],
  },
} as const satisfies { readonly [name: string]: Operation };

export interface ProjectionParts extends JobParts {
  readonly store: Pick<AdminParts['store'], 'head'>;
  readonly readModels: ReadModels;
}

export const projectionRoutes = (parts: ProjectionParts): readonly Route[] => {
  const { list: all, ofTenant, pause, resume, parked, skip } = projectionOperations;
  const at = '/projections/{projection}';
  return [
    { method: 'GET', path: '/projections', guard: GUARD, about: all, handle: list(parts) },
    {
      method: 'GET',
      path: '/tenants/{tenant}/projections',
      guard: GUARD,
      about: ofTenant,
      handle: statusOf(parts),
    },
    ...jobRoutes(parts),
    { method: 'POST', path: `${at}/pause`, guard: GUARD, about: pause, handle: pausing(parts) },
    { method: 'POST', path: `${at}/resume`, guard: GUARD, about: resume, handle: resuming(parts) },
    { method: 'GET', path: `${at}/parked`, guard: GUARD, about: parked, handle: listParked(parts) },
    { method: 'POST', path: `${at}/parked/skip`, guard: GUARD, about: skip, handle: skipping(parts) },
  ];
};

const list = ({ readModels }: ProjectionParts) =>
  forOperators(PROJECTIONS_SCOPE, async () => {
    const lags = await readModels.lag();
    const documents = lags.map((lag) => ({
      projection: lag.projection,
      taken_facts: lag.takenFacts,
      lag_facts: lag.lagFacts,
      lag_seconds_max: lag.lagSecondsMax,
      halted_tenants: lag.haltedTenants,
    }));
    return jsonReply({ projections: documents }, 200, NO_STORE);
  });

const statusOf = ({ store, readModels }: ProjectionParts) =>
  forOperators(PROJECTIONS_SCOPE, async (call) => {
    const tenant = namedTenant(call);
    if (typeof tenant === 'object') return problemReply(tenant, call.requestId);
    if (!(await store.head(tenant))) return problemReply(noSuchTenant(tenant), call.requestId);
    const rows = await readModels.status(tenant);
    const documents = rows.map((row) => ({
      projection: row.projection,
      version: row.version,
      state: row.state,
      as_of_seq: row.asOfSeq,
      head_seq: row.headSeq,
      lag_facts: row.lagFacts,
      ...(row.fault && { fault: { seq: row.fault.seq, message: row.fault.message } }),
    }));
    return jsonReply({ tenant, projections: documents }, 200, NO_STORE);
  });

const pausing = (parts: ProjectionParts) => {
  const read = bodyReader<{ readonly reason: string }>(pauseSchema);
  return forReadModel(parts, async (call, name) => {
    const body = read(call);
    if (isProblem(body)) return body;
    const changed = await parts.readModels.pause(name, body.reason);
    return jsonReply({ projection: name, state: 'paused', changed }, 200, NO_STORE);
  });
};

const resuming = (parts: ProjectionParts) =>
  forReadModel(parts, async (call, name) => {
    const body = await tenantInBody(parts, call);
    if (isProblem(body)) return body;
    const { tenant } = body;
    const { readModels } = parts;
    const changed =
      tenant === undefined ? await readModels.resume(name) : await readModels.retry(name, tenant);
    if (changed) return jsonReply({ projection: name, state: 'running', changed }, 200, NO_STORE);
    return tenant === undefined
      ? problem('projection-goes-on', `${name} is not paused`)
      : notHalted(name, tenant);
  });

/** More halts than anybody goes through by hand. */
const PARKED_MAX = 1_000;

const listParked = (parts: ProjectionParts) =>
  forReadModel(parts, async (_, name) => {
    const facts = await parts.readModels.parked(name, PARKED_MAX);
    const parked = facts.map(({ tenant, version, seq, id, message }) => ({
      tenant,
      version,
      seq,
      id,
      message,
    }));
    return jsonReply({ projection: name, parked }, 200, NO_STORE);
  });

type SkipBody = Pick<Skip, 'tenant' | 'seq' | 'reason'>;

const skipping = (parts: ProjectionParts) => {
  const read = bodyReader<SkipBody>(skipSchema);
  return forReadModel(parts, async (call, name, caller) => {
    const body = read(call);
    if (isProblem(body)) return body;
    const { tenant } = body;
    if (!(await parts.store.head(tenant))) return noSuchTenant(tenant);
    const skipped = await parts.readModels.skip({ ...body, projection: name, actor: actorOf(caller) });
    switch (skipped.kind) {
      case 'skipped':
        return jsonReply({ projection: name, state: 'running', changed: true }, 200, NO_STORE);
      case 'not-halted':
        return notHalted(name, tenant);
      case 'halted-elsewhere':
        return problem(
          'not-parked',
          `${name} has halted for ${tenant} at fact ${skipped.at}, not at ${body.seq}`,
        );
      case 'malformed':
        return bodyMalformed(skipped.faults);
      default:
        return skipped satisfies never;
    }
  });
};

const notHalted = (name: string, tenant: TenantId): Problem =>
  problem('projection-goes-on', `${name} has not halted for ${tenant}`);
