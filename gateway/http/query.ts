// The query of a URL, held to the parameters that its route declares. A parameter that is misspelt or given twice is
// refused: a filter that is silently ignored answers another question than was asked.
import type { Fault } from '#schemas/event.ts';
import { faultsAgainst } from '#schemas/faults.ts';
import type { Operation } from './operation.ts';
import { type Problem, problem } from './problems.ts';
import type { Call } from './route.ts';

export type QueryValues = { readonly [name: string]: string };
export type ReadQuery = (query: Call['query']) => QueryValues | Problem;

export const queryReader = ({ parameters = {} }: Operation): ReadQuery => {
  const own = Object.entries(parameters).filter(([, parameter]) => parameter.in === 'query');
  const schema = {
    type: 'object',
    properties: Object.fromEntries(
      own.map(([name, parameter]) => [name, { description: parameter.description, ...parameter.schema }]),
    ),
    additionalProperties: false,
    description: 'the query of this path',
  };
  const faults = faultsAgainst(schema as never);
  return (query) => {
    const found = faults(query);
    return found.length > 0 ? malformedQuery(found) : (query as QueryValues);
  };
};

export const malformedQuery = (faults: readonly Fault[]): Problem =>
  problem('query-malformed', 'the query is not as this path takes it', {
    errors: faults.map(({ pointer, message }) => ({
      parameter: pointer.split('/')[1] ?? '',
      detail: message,
    })),
  });

/** Tells a problem from whatever else a reader of requests comes back with. */
export const isProblem = (read: object): read is Problem =>
  typeof (read as Problem).code === 'string' && typeof (read as Problem).detail === 'string';
