// The shapes of what is answered about read models.
import { dateTime, tenantName } from '#schemas/faults.ts';
import { count, object, text } from './shape-parts.ts';

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
  ProjectionJob: object('a rebuild or a verification', {
    projection: text('the read model'),
    kind: text('rebuild or verification'),
    'tenant?': tenantName,
    state: text('running, done or failed'),
    phase: text('what is being done'),
    facts: count('facts gone through in this phase', 0),
    total: count('of so many; 0 while that is not known', 0),
    started_at: dateTime,
    'finished_at?': dateTime,
    'result?': object('what it came to', {
      facts: count('facts that were folded', 0),
      rows: count('rows that are equal to those of an independent replay', 0),
      tenants: count('whose', 0),
      build: count('the table in use'),
      unequal: {
        type: 'array',
        items: object('a tenant whose rows are others', {
          tenant: tenantName,
          seq: count('as of this fact', 0),
          message: text('what differs'),
        }),
      },
    }),
    'failure?': object('why it ended', {
      code: text('what kind of failure'),
      message: text('what happened'),
    }),
  }),
  ProjectionChange: object('how a read model stands', {
    projection: text('its name'),
    state: text('running or paused'),
    changed: { type: 'boolean', description: 'false when it stood so before' },
  }),
} as const;
