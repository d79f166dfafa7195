// Work on read models that takes its time: begun with 202, asked about and ended by its id, from any process.
import type { Job, JobKind } from '#projectors/postgres/jobs.ts';
import { instantText, isUuid } from '#schemas/ids.ts';
import type { Jobs } from '../projections/jobs.ts';
import type { ReadModels } from '../projections/read-models.ts';
import { nothingSchema } from './admin-bodies.ts';
import { type AdminParts, actorOf, bodyReader, NO_STORE } from './admin-command.ts';
import {
  forReadModel,
  PROJECTIONS_GUARD as GUARD,
  OF_TENANT_BODY,
  projectionParameter,
  tenantInBody,
} from './named-projection.ts';
import type { Operation } from './operation.ts';
import { type Problem, problem } from './problems.ts';
import { isProblem } from './query.ts';
import { type Call, jsonReply, type Route } from './route.ts';

const projection = projectionParameter;

const job = {
  in: 'path',
  description: 'the job',
  schema: { type: 'string', format: 'uuid', description: 'the id of a job' },
  example: '5f0c9d2e-0d3c-4a53-9a55-3d9d5a8f7a11',
} as const;

const JOB = [{ type: 'application/json', schema: 'ProjectionJob' }] as const;

const BEGUN = {
  202: { description: 'It is under way.', headers: { Location: 'where it is asked about' }, media: JOB },
} as const;

const BEGIN_PROBLEMS = ['no-such-projection', 'job-under-way', 'body-malformed'] as const;

export const jobOperations = {
  rebuild: {
    id: 'rebuildProjection',
    records: ['projections.RebuildProved'],
    subject: 'administration',
    summary: 'Folds a read model anew beside the one in use, proves it, and switches to it.',
    parameters: { projection },
    body: OF_TENANT_BODY,
    answers: BEGUN,
    problems: ['no-such-tenant', ...BEGIN_PROBLEMS],
  },
  verify: {
    id: 'verifyProjection',
    records: [],
    subject: 'administration',
    summary: 'Compares the rows in use with an independent fold.',
    parameters: { projection },
    body: OF_TENANT_BODY,
    answers: BEGUN,
    problems: ['no-such-tenant', ...BEGIN_PROBLEMS],
  },
  rollback: {
    id: 'rollbackProjection',
    records: [],
    subject: 'administration',
    summary: 'Shows again what the last rebuild replaced, brought up to date first.',
    parameters: { projection },
    answers: BEGUN,
    problems: BEGIN_PROBLEMS,
  },
  dropOld: {
    id: 'dropOldProjection',
    records: [],
    subject: 'administration',
    summary: 'Drops the tables that rebuilds replaced; there is no rollback to them then.',
    parameters: { projection },
    answers: BEGUN,
    problems: BEGIN_PROBLEMS,
  },
  last: {
    id: 'getProjectionJob',
    subject: 'administration',
    summary: 'The last job of a read model: how far it is, or what it came to.',
    parameters: { projection },
    answers: { 200: { description: 'The job.', media: JOB } },
    problems: ['no-such-projection', 'no-such-job'],
  },
  list: {
    id: 'listProjectionJobs',
    subject: 'administration',
    summary: 'The last jobs of a read model, newest first, whichever process was asked for them.',
    parameters: { projection },
    answers: {
      200: {
        description: 'The last 50 at most.',
        media: [{ type: 'application/json', schema: 'ProjectionJobs' }],
      },
    },
    problems: ['no-such-projection'],
  },
  get: {
    id: 'getProjectionJobById',
    subject: 'administration',
    summary: 'A job: how far it is, or what it came to.',
    parameters: { projection, job },
    answers: { 200: { description: 'The job.', media: JOB } },
    problems: ['no-such-projection', 'no-such-job'],
  },
  cancel: {
    id: 'cancelProjectionJob',
    records: [],
    subject: 'administration',
    summary:
      'Asks the process that runs a job to end it; a rebuild that is begun again goes on where this one stood.',
    parameters: { projection, job },
    answers: { 202: { description: 'It is asked, or has ended it by now.', media: JOB } },
    problems: ['no-such-projection', 'no-such-job', 'job-ended', 'body-malformed'],
  },
} as const satisfies { readonly [name: string]: Operation };

export interface JobParts {
  readonly store: Pick<AdminParts['store'], 'head'>;
  readonly readModels: Pick<ReadModels, 'names'>;
  readonly jobs: Jobs;
}

const AT = '/projections/{projection}';

export const jobRoutes = (parts: JobParts): readonly Route[] => {
  const { rebuild, verify, rollback, dropOld, last, list, get, cancel } = jobOperations;
  const ofOne = (call: Call) => tenantInBody(parts, call);
  const ofAll = bodyReader<object>(nothingSchema);
  const begun = (name: string, about: Operation, handle: ReturnType<typeof begin>): Route => ({
    method: 'POST',
    path: `${AT}/${name}`,
    guard: GUARD,
    about,
    handle,
  });
  return [
    begun('rebuild', rebuild, begin(parts, 'rebuild', ofOne)),
    begun('verify', verify, begin(parts, 'verification', ofOne)),
    begun('rollback', rollback, begin(parts, 'rollback', ofAll)),
    begun('drop-old', dropOld, begin(parts, 'drop-old', ofAll)),
    { method: 'GET', path: `${AT}/job`, guard: GUARD, about: last, handle: lastJob(parts) },
    { method: 'GET', path: `${AT}/jobs`, guard: GUARD, about: list, handle: listJobs(parts) },
    { method: 'GET', path: `${AT}/jobs/{job}`, guard: GUARD, about: get, handle: oneJob(parts) },
    {
      method: 'POST',
      path: `${AT}/jobs/{job}/cancel`,
      guard: GUARD,
      about: cancel,
      handle: cancelling(parts),
    },
  ];
};

const hrefOf = ({ projection: name, id }: Job): string => `/projections/${name}/jobs/${id}`;

const jobDocument = (of: Job) => ({
  job: of.id,
  href: hrefOf(of),
  projection: of.projection,
  kind: of.kind,
  ...(of.tenant !== undefined && { tenant: of.tenant }),
  actor: of.actor,
  state: of.state,
  phase: of.phase,
  facts: of.facts,
  total: of.total,
  runner: of.runner,
  started_at: instantText(of.startedAt),
  ...(of.finishedAt !== undefined && { finished_at: instantText(of.finishedAt) }),
  ...(of.cancelledBy !== undefined && { cancelled_by: of.cancelledBy }),
  ...(of.result && { result: of.result }),
  ...(of.failure && { failure: of.failure }),
});

type Begun = Pick<Job, 'tenant'>;

const begin = (
  parts: JobParts,
  kind: JobKind,
  read: (call: Call) => Promise<Begun | Problem> | Begun | Problem,
) =>
  forReadModel(parts, async (call, name, caller) => {
    const body = await read(call);
    if (isProblem(body)) return body;
    const { tenant } = body;
    const { begun, job: of } = await parts.jobs.begin({
      kind,
      projection: name,
      tenant,
      actor: actorOf(caller),
    });
    if (begun) return jsonReply(jobDocument(of), 202, { location: hrefOf(of), ...NO_STORE });
    const detail = `a ${of.kind} of ${name} is under way since ${instantText(of.startedAt)}`;
    return problem('job-under-way', detail, { job: hrefOf(of) });
  });

const lastJob = (parts: JobParts) =>
  forReadModel(parts, async (_, name) => {
    const [of] = await parts.jobs.list(name);
    if (of) return jsonReply(jobDocument(of), 200, NO_STORE);
    return problem('no-such-job', `no work on ${name} has been asked for`);
  });

const listJobs = (parts: JobParts) =>
  forReadModel(parts, async (_, name) => {
    const of = await parts.jobs.list(name);
    return jsonReply({ projection: name, jobs: of.map(jobDocument) }, 200, NO_STORE);
  });

const noSuchJob = (name: string, id: string): Problem =>
  problem('no-such-job', `${name} has no job ${id.slice(0, 36)}`);

const oneJob = (parts: JobParts) =>
  forReadModel(parts, async ({ params: { job: id = '' } }, name) => {
    const of = isUuid(id) ? await parts.jobs.find(name, id) : undefined;
    return of ? jsonReply(jobDocument(of), 200, NO_STORE) : noSuchJob(name, id);
  });

const cancelling = (parts: JobParts) => {
  const read = bodyReader<object>(nothingSchema);
  return forReadModel(parts, async (call, name, caller) => {
    const body = read(call);
    if (isProblem(body)) return body;
    const { job: id = '' } = call.params;
    const of = isUuid(id) ? await parts.jobs.cancel(name, id, actorOf(caller)) : undefined;
    if (!of) return noSuchJob(name, id);
    if (of.state === 'running' || of.state === 'cancelled')
      return jsonReply(jobDocument(of), 202, { location: hrefOf(of), ...NO_STORE });
    return problem('job-ended', `the ${of.kind} of ${name} has ended: it is ${of.state}`, {
      job: hrefOf(of),
    });
  });
};
