// The shapes of what is answered about read models.
import { dateTime, tenantName } from '#schemas/faults.ts';
import { count, object, ref, text } from './shape-parts.ts';

const job = object('work on a read model', {
  job: text('its id'),
  href: text('where it is asked about'),
  projection: text('the read model'),
  kind: text('rebuild, verification, rollback or drop-old'),
  'tenant?': tenantName,
  actor: text('by whose token it was begun'),
  state: text('running, done, failed, cancelled, or interrupted: its process ended or fell silent'),
  phase: text('what is being done, or was when it ended'),
  facts: count('facts gone through in this phase', 0),
  total: count('of so many; 0 while that is not known', 0),
  runner: text('the process that runs it'),
  started_at: dateTime,
  'finished_at?': dateTime,
  'cancelled_by?': text('whose token asked for its end'),
  'result?': object('what it came to, as far as there is such a thing of its kind', {
    'facts?': count('facts that were folded', 0),
    'rows?': count('rows that are equal to those of an independent replay', 0),
    'tenants?': count('whose', 0),
    'version?': count('the version of the fold that is in use'),
    'build?': count('the table in use'),
    'unequal?': {
      type: 'array',
      items: object('a tenant whose rows are others', {
        tenant: tenantName,
        seq: count('as of this fact', 0),
        message: text('what differs'),
      }),
    },
    'current?': {
      type: 'boolean',
      description:
        'of a rollback: false where the rows are shown as they were left, since another source made them',
    },
    'dropped?': {
      type: 'array',
      items: object('a table that is gone', {
        version: count('of this version'),
        build: count('its number'),
      }),
    },
  }),
  'failure?': object('why it ended', {
    code: text('what kind of failure'),
    message: text('what happened'),
  }),
});

export const projectionShapes = {
  Projections: object('the read models, over all tenants', {
    projections: {
      type: 'array',
      items: object('one read model', {
        projection: text('its name'),
        taken_facts: count('facts taken, of all tenants', 0),
        lag_facts: count('facts recorded and not yet taken', 0),
        lag_seconds_max: { type: 'number', description: 'since the oldest of them was recorded' },
        halted_tenants: count('tenants for which it has halted', 0),
      }),
    },
  }),
  TenantProjections: object('the read models of one tenant', {
    tenant: tenantName,
    projections: {
      type: 'array',
      items: object('one version of a read model', {
        projection: text('its name'),
        version: count('the version of its fold'),
        state: text('current, behind, paused, halted, or ahead of ledger'),
        as_of_seq: count('the last fact that was taken', 0),
        head_seq: count('the last fact that is recorded', 0),
        lag_facts: { type: 'integer', description: 'facts recorded and not yet taken' },
        'fault?': object('the fact it cannot take', { seq: count('its place'), message: text('why') }),
      }),
    },
  }),
  ProjectionJob: job,
  ProjectionJobs: object('the last jobs of a read model', {
    projection: text('the read model'),
    jobs: { type: 'array', items: ref('ProjectionJob'), description: 'newest first' },
  }),
  ParkedFacts: object('the facts that a read model has halted at', {
    projection: text('the read model'),
    parked: {
      type: 'array',
      items: object('one fact', {
        tenant: tenantName,
        version: count('the version of the fold'),
        seq: count('its place'),
        id: text('its id'),
        message: text('why it cannot be taken'),
      }),
    },
  }),
  ProjectionChange: object('how a read model stands', {
    projection: text('its name'),
    state: text('running or paused'),
    changed: { type: 'boolean', description: 'false when it stood so before' },
  }),
} as const;
