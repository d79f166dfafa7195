// Which writes are attested: every operation of the HTTP interface that may record something, and every type of fact,
// against the mapper catalog. What is not covered is named, and shares are cut off, never rounded.
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
}

export interface CoverageParts {
  readonly routes: readonly Pick<MountableRoute, 'method' | 'path' | 'about'>[];
  readonly domains: readonly Pick<DomainSchema, 'events'>[];
  readonly catalog: readonly Mapping[];
}

/** Asked with POST for the size of what is asked; records nothing. */
const READ_ONLY: ReadonlySet<string> = new Set(['verifyReceipt']);

/** Throws when the catalog covers an operation that does not exist: it was renamed, and nobody would notice. */
export const attestationCoverage = ({ routes, domains, catalog }: CoverageParts): Coverage => {
  const writes = routes.filter(({ method, about }) => method !== 'GET' && !READ_ONLY.has(about.id));
  const types = domains.flatMap(({ events }) => Object.keys(events));
  const known = new Set([...writes.map(({ about }) => about.id), ...types]);
  const routeOf = new Map<string, string>();
  for (const { route, operations, graph } of catalog) {
    for (const operation of [...operations, ...(graph.handles as readonly string[])]) {
      if (!known.has(operation))
        throw new Error(
          `the mapper catalog has ${route} cover ${operation}, which writes nothing here: correct it`,
        );
      routeOf.set(operation, route);
    }
  }
  const operations = [
    ...writes.map(({ about, path }) => ({ id: about.id, operation: `${about.id} (POST ${path})` })),
    ...types.map((type) => ({ id: type, operation: type })),
  ].map(({ id, operation }): WriteOperation => {
    const route = routeOf.get(id);
    return { operation, ...(route !== undefined && { route }) };
  });
  const covered = operations.filter(({ route }) => route !== undefined).length;
  return {
    operations,
    covered,
    percent: operations.length === 0 ? 0 : Math.floor((covered * 100) / operations.length),
    uncovered: operations.filter(({ route }) => route === undefined).map(({ operation }) => operation),
  };
};
