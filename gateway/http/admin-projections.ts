// Read models, for operators: how far they are, and what is done about one that is behind, has halted or is not trusted.
import { instantText, type TenantId } from '#schemas/ids.ts';
import { type Job, type Jobs, projectionJobs } from '../projections/jobs.ts';
import type { ReadModels } from '../projections/read-models.ts';
import { ofTenantSchema, pauseSchema } from './admin-bodies.ts';
import {
  type AdminParts,
  bodyReader,
  forOperators,
  NO_STORE,
  namedTenant,
  noSuchTenant,
  tenantParameter,
} from './admin-command.ts';
import type { Caller } from './auth.ts';
import type { Operation } from './operation.ts';
import { type Problem, problem } from './problems.ts';
import { isProblem } from './query.ts';
import { type Call, jsonReply, problemReply, type Reply, type Route } from './route.ts';

const projection = {
  in: 'path',
  description: 'the read model',
  schema: { type: 'string', pattern: '^[a-z][a-z0-9_]{0,62}$', description: 'the name of a read model' },
  example: 'receipts_daily',
} as const;

const BEGUN = {
  202: {
    description: 'It is under way in the process that answered; ask that one how far it is.',
    headers: { Location: 'where to ask' },
    media: [{ type: 'application/json', schema: 'ProjectionJob' }],
  },
} as const;

const STANDING = {
  200: {
    description: 'How it stands now.',
    media: [{ type: 'application/json', schema: 'ProjectionChange' }],
  },
} as const;

const OF_TENANT = [{ type: 'application/json', schema: 'OfTenant', example: { tenant: 'acme' } }] as const;

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
  job: {
    id: 'getProjectionJob',
    subject: 'administration',
    summary:
      'The last rebuild or verification that this process was asked for: how far it is, or what it came to.',
    parameters: { projection },
    answers: {
      200: { description: 'The job.', media: [{ type: 'application/json', schema: 'ProjectionJob' }] },
    },
    problems: ['no-such-projection', 'no-such-job'],
  },
  rebuild: {
    id: 'rebuildProjection',
    records: ['projections.RebuildProved'],
    subject: 'administration',
    summary: 'Folds a read model anew beside the one in use, proves it, and switches to it.',
    parameters: { projection },
    body: OF_TENANT,
    answers: BEGUN,
    problems: ['no-such-projection', 'no-such-tenant', 'job-under-way', 'body-malformed'],
  },
  verify: {
    id: 'verifyProjection',
    records: [],
    subject: 'administration',
    summary: 'Compares the rows in use with an independent fold.',
    parameters: { projection },
    body: OF_TENANT,
    answers: BEGUN,
    problems: ['no-such-projection', 'no-such-tenant', 'job-under-way', 'body-malformed'],
  },
  pause: {
    id: 'pauseProjection',
    records: [],
    subject: 'administration',
    summary: 'Lets nobody take a read model further until it is resumed; it can be asked meanwhile.',
    parameters: { projection },
    body: [{ type: 'application/json', schema: 'Pause', example: { reason: 'the disk is full' } }],
    answers: STANDING,
    problems: ['no-such-projection', 'body-malformed'],
  },
  resume: {
    id: 'resumeProjection',
    records: [],
    subject: 'administration',
    summary: 'Lets a paused read model go on; with a tenant: lets a halted one try the same fact again.',
    parameters: { projection },
    body: OF_TENANT,
    answers: STANDING,
    problems: ['no-such-projection', 'no-such-tenant', 'projection-goes-on', 'body-malformed'],
  },
} as const satisfies { readonly [name: string]: Operation };

const SCOPE = 'projections:admin';
const GUARD = { scope: SCOPE } as const;

export interface ProjectionParts extends Pick<AdminParts, 'store' | 'clock'> {
  readonly readModels: ReadModels;
  readonly ending: AbortSignal;
  /** Told of what failed behind a job. */
  readonly fault: (error: unknown, requestId: string) => void;
}

interface Parts extends ProjectionParts {
  readonly jobs: Jobs;
}

export const projectionRoutes = (given: ProjectionParts): readonly Route[] => {
  const { readModels, clock, ending, fault } = given;
  const onFault = (error: unknown): void => fault(error, 'projection-job');
  const parts: Parts = { ...given, jobs: projectionJobs({ readModels, clock, ending, onFault }) };
  const { list: all, ofTenant, job, rebuild, verify, pause, resume } = projectionOperations;
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
    { method: 'GET', path: `${at}/job`, guard: GUARD, about: job, handle: lastJob(parts) },
    { method: 'POST', path: `${at}/rebuild`, guard: GUARD, about: rebuild, handle: begin(parts, 'rebuild') },
    {
      method: 'POST',
      path: `${at}/verify`,
      guard: GUARD,
      about: verify,
      handle: begin(parts, 'verification'),
    },
    { method: 'POST', path: `${at}/pause`, guard: GUARD, about: pause, handle: pausing(parts) },
    { method: 'POST', path: `${at}/resume`, guard: GUARD, about: resume, handle: resuming(parts) },
  ];
};

/** For the read model that the path names. */
const forReadModel = (
  { readModels }: Parts,
  handle: (call: Call, name: string, caller: Caller) => Promise<Reply | Problem>,
) =>
  forOperators(SCOPE, async (call, caller) => {
    const { projection: name = '' } = call.params;
    const done = readModels.names.includes(name)
      ? await handle(call, name, caller)
      : problem('no-such-projection', `there is no read model ${name.slice(0, 63)}`, {
          projections: readModels.names,
        });
    return isProblem(done) ? problemReply(done, call.requestId) : done;
  });

const list = ({ readModels }: Parts) =>
  forOperators(SCOPE, async () => {
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

const statusOf = ({ store, readModels }: Parts) =>
  forOperators(SCOPE, async (call) => {
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

const jobDocument = (job: Job) => ({
  projection: job.projection,
  kind: job.kind,
  ...(job.tenant !== undefined && { tenant: job.tenant }),
  state: job.state,
  phase: job.phase,
  facts: job.facts,
  total: job.total,
  started_at: instantText(job.startedAt),
  ...(job.finishedAt !== undefined && { finished_at: instantText(job.finishedAt) }),
  ...(job.result && { result: job.result }),
  ...(job.failure && { failure: job.failure }),
});

const lastJob = (parts: Parts) =>
  forReadModel(parts, async (_, name) => {
    const job = parts.jobs.of(name);
    if (!job) return problem('no-such-job', `this process was asked for no work on ${name}`);
    return jsonReply(jobDocument(job), 200, NO_STORE);
  });

const readOfTenant = bodyReader<{ readonly tenant?: TenantId }>(ofTenantSchema);

/** The tenant that the body names, if any. */
const tenantIn = async ({ store }: Parts, call: Call): Promise<{ readonly tenant?: TenantId } | Problem> => {
  const body = readOfTenant(call);
  if (isProblem(body) || body.tenant === undefined) return body;
  return (await store.head(body.tenant)) ? body : noSuchTenant(body.tenant);
};

const begin = (parts: Parts, kind: Job['kind']) =>
  forReadModel(parts, async (call, name, caller) => {
    const body = await tenantIn(parts, call);
    if (isProblem(body)) return body;
    const actor = `${caller.tenant}/${caller.tokenId}`.slice(0, 256);
    const other = parts.jobs.begin({ kind, projection: name, tenant: body.tenant, actor });
    if (other)
      return problem(
        'job-under-way',
        `a ${other.kind} of ${name} is under way since ${instantText(other.startedAt)}`,
      );
    const headers = { location: `/projections/${name}/job`, ...NO_STORE };
    return jsonReply(jobDocument(parts.jobs.of(name) as Job), 202, headers);
  });

const pausing = (parts: Parts) => {
  const read = bodyReader<{ readonly reason: string }>(pauseSchema);
  return forReadModel(parts, async (call, name) => {
    const body = read(call);
    if (isProblem(body)) return body;
    const changed = await parts.readModels.pause(name, body.reason);
    return jsonReply({ projection: name, state: 'paused', changed }, 200, NO_STORE);
  });
};

const resuming = (parts: Parts) =>
  forReadModel(parts, async (call, name) => {
    const body = await tenantIn(parts, call);
    if (isProblem(body)) return body;
    const { tenant } = body;
    const { readModels } = parts;
    const changed =
      tenant === undefined ? await readModels.resume(name) : await readModels.retry(name, tenant);
    if (changed) return jsonReply({ projection: name, state: 'running', changed }, 200, NO_STORE);
    return problem(
      'projection-goes-on',
      tenant === undefined ? `${name} is not paused` : `${name} has not halted for ${tenant}`,
    );
  });
