// A route of the mapper catalog as commands name it, its two stores, and a difference between them in words.
import { catalog, type Mapping } from '#projectors/attestation/catalog.ts';
import type { Difference } from '#projectors/attestation/difference.ts';
import { keyParts } from '#projectors/attestation/element.ts';
import type { AttestedStore } from '#projectors/attestation/store.ts';
import { attestedGraph } from '#projectors/neo4j/attested.ts';
import { attestedTables } from '#projectors/postgres/attested.ts';
import { CliError } from './exit.ts';
import { graphOf } from './graph.ts';
import { visible } from './output.ts';
import type { OpenLedger } from './world.ts';

export const mappingOf = (route: string): Mapping => {
  const found = catalog.find((mapping) => mapping.route === route);
  if (found) return found;
  throw new CliError(
    'usage',
    'no-such-route',
    `the mapper catalog has no route ${visible(route)}; it has ${catalog.map((mapping) => mapping.route).join(', ')}`,
  );
};

/** Throws `CliError` where there is no graph. */
export const storesOf = async (
  ledger: OpenLedger,
  mapping: Mapping,
): Promise<{ readonly left: AttestedStore; readonly right: AttestedStore }> => ({
  left: attestedTables({ pool: ledger.pool, mapping }),
  right: attestedGraph({ graph: await graphOf(ledger), projector: mapping.graph }),
});

/** `value: ASKED_BY r-1 -> ada, seq: int:3 in the tables, float:3 in the graph` */
export const differenceText = (
  { class: kind, element, field, left, right }: Difference,
  [here, there]: readonly [left: string, right: string],
): string => {
  const [label, id, target] = keyParts(element);
  const what = `${label} ${id}${target === '' ? '' : ` -> ${target}`}`;
  const values =
    field === undefined ? '' : `, ${field}: ${left ?? 'nothing'} ${here}, ${right ?? 'nothing'} ${there}`;
  return visible(`${kind}: ${what}${values}`);
};
