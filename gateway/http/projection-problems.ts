// What may stand in the way of what is done about read models: a part of the catalogue.

export const projectionProblems = {
  'no-such-projection': {
    status: 404,
    title: 'There is no read model of this name',
    todo: 'Check the name; GET /v1/projections lists those there are.',
  },
  'no-such-job': {
    status: 404,
    title: 'The read model has no such job',
    todo: 'Check the id; GET /v1/projections/{projection}/jobs lists the last ones.',
  },
  'job-under-way': {
    status: 409,
    title: 'Other work on the read model is under way',
    todo: 'Wait for it, or cancel it: "job" is where it is asked about.',
  },
  'job-ended': {
    status: 409,
    title: 'The job has ended already',
    todo: 'Nothing is to be done; "job" is where it says what it came to.',
  },
  'not-parked': {
    status: 409,
    title: 'The read model has halted at another fact',
    todo: 'Nothing was passed over. Look at the fact that "detail" names, and name that one where it is meant.',
  },
  'projection-goes-on': {
    status: 409,
    title: 'The read model is neither paused nor halted there',
    todo: 'Nothing is to be done; GET /v1/tenants/{tenant}/projections says how far it is.',
  },
} as const;
