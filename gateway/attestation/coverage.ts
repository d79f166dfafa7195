// Which writes are attested: every operation of the HTTP interface that may put something on record, and every type of
// fact, which is what commands and sagas record, against the mapper catalog. An operation is covered where all that it
// may record is. What is not is named, and shares are cut off, never rounded.
import type { Mapping } from '#projectors/attestation/catalog.ts';
import type { DomainSchema } from '#schemas/event.ts';
import type { MountableRoute } from '../http/route.ts';

export interface WriteOperation {
  /** `recordReceipts (POST /v1/receipts)`, or a type of fact. */
  readonly operation: string;
  /** The route of the catalog; absent where nothing compares what is written. */
  readonly route?: string;
}

export interface Coverage {
  readonly operations: readonly WriteOperation[];
  readonly covered: number;
  /** From 0 to 100, a whole number, cut off. */
  readonly percent: number;
  readonly uncovered: readonly string[];
  /** Operations that are asked with POST and put nothing on record: no writes to the ledger, and not counted. */
  readonly recordNothing: readonly string[];
}

export interface CoverageParts {
  readonly routes: readonly Pick<MountableRoute, 'method' | 'path' | 'about'>[];
  readonly domains: readonly Pick<DomainSchema, 'events'>[];
  readonly catalog: readonly Mapping[];
}

/** Throws when the catalog or an operation names a type that does not exist: it was renamed, and nobody would notice. */
export const attestationCoverage = ({ routes, domains, catalog }: CoverageParts): Coverage => {
  const types = domains.flatMap(({ events }) => Object.keys(events));
  const known = new Set(types);
  const existing = (type: string, who: string): string => {
    if (known.has(type)) return type;
    throw new Error(`${who} names ${type}, which no domain says: correct it`);
  };
  const routeOf = new Map<string, string>();
  for (const { route, graph } of catalog)
    for (const type of graph.handles as readonly string[])
      routeOf.set(existing(type, `the mapper catalog's ${route}`), route);
  const asked = routes
    .filter(({ method }) => method !== 'GET')
    .map(({ about, path }) => ({
      operation: `${about.id} (POST ${path})`,
      records: about.records?.map((type) => existing(type, about.id)),
    }));
  const operations = [
    ...asked
      .filter(({ records }) => records?.length !== 0)
      .map(({ operation, records = [] }) => ({
        operation,
        routes: records.map((type) => routeOf.get(type)),
      })),
    ...types.map((type) => ({ operation: type, routes: [routeOf.get(type)] })),
  ].map(({ operation, routes: by }): WriteOperation => {
    const [route] = by;
    return { operation, ...(route !== undefined && !by.includes(undefined) && { route }) };
  });
  const covered = operations.filter(({ route }) => route !== undefined).length;
  return {
    operations,
    covered,
    percent: operations.length === 0 ? 0 : Math.floor((covered * 100) / operations.length),
    uncovered: operations.filter(({ route }) => route === undefined).map(({ operation }) => operation),
    recordNothing: asked.filter(({ records }) => records?.length === 0).map(({ operation }) => operation),
  };
};
