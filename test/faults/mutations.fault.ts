// A hundred thousand requests damaged at random, against the service on a PostgreSQL of its own. Exit code 1 at an answer
// of 5xx, a refusal that is not in the catalogue, or a fact that was stored and not acknowledged.
//
//   node test/faults/mutations.fault.ts [--requests N] [--seed N]
import { parseArgs } from 'node:util';
import { stopTestServers } from '#test/support/postgres.ts';
import { runMutations } from './mutations.ts';

const { values } = parseArgs({
  options: { requests: { type: 'string', default: '100000' }, seed: { type: 'string' } },
});
const requests = Number(values.requests);
const seed = values.seed === undefined ? undefined : Number(values.seed);
if (!(Number.isInteger(requests) && requests > 0 && (seed === undefined || Number.isInteger(seed))))
  throw new Error('give --requests as a positive whole number, and --seed as a whole number');
const start = performance.now();
try {
  const figures = await runMutations({ requests, seed, log: (line) => console.log(line) });
  console.log(JSON.stringify({ ...figures, seconds: Math.round((performance.now() - start) / 1_000) }));
} finally {
  await stopTestServers();
}
