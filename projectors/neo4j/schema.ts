// Constraints and indexes of the graph read models, and what this program notes about each of them. Made when they are
// missing; nothing is ever dropped.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { AnyGraphProjector } from '#projectors/graph/graph.ts';
import { StreamError } from '#streams/errors.ts';
import type { Graph } from './connect.ts';
import { quoted } from './elements.ts';
import { asInteger } from './values.ts';

/** Nodes of this program's own: analysts pass them by. */
export const CHECKPOINT = 'LedgerCheckpoint';
export const READ_MODEL = 'LedgerReadModel';

const unique = (label: string, properties: readonly string[]): string =>
  `CREATE CONSTRAINT IF NOT EXISTS FOR (n:${quoted(label)}) REQUIRE (${properties.map((name) => `n.${quoted(name)}`).join(', ')}) IS UNIQUE`;

const statements = ({ nodes, edges }: AnyGraphProjector): readonly string[] => [
  ...Object.entries(nodes).flatMap(([label, { id }]) => [
    unique(label, ['tenant', id]),
    `CREATE INDEX IF NOT EXISTS FOR (n:${quoted(label)}) ON (n.tenant, n.seq)`,
  ]),
  ...Object.keys(edges).map(
    (type) => `CREATE INDEX IF NOT EXISTS FOR ()-[e:${quoted(type)}]-() ON (e.tenant, e.seq)`,
  ),
];

/** Throws `StreamError`. */
export const ensureGraph = async (graph: Graph, projectors: readonly AnyGraphProjector[]): Promise<void> => {
  const own = [
    unique(CHECKPOINT, ['projection', 'version', 'tenant']),
    unique(READ_MODEL, ['projection', 'version']),
  ];
  // Each by itself: Neo4j mixes no schema with data in one transaction.
  for (const statement of [...own, ...projectors.flatMap(statements)]) await graph.query(statement);
  await graph.query('CALL db.awaitIndexes(60)');
  for (const projector of projectors) {
    const source = await graphSource(projector);
    const [made] = await graph.query(
      `MERGE (m:${READ_MODEL} {projection: $name, version: $version}) ON CREATE SET m.source = $source, m.clearing = false
       RETURN m.source AS source`,
      { name: projector.name, version: asInteger(projector.version), source },
    );
    if (!made) throw new StreamError('unexpected', `Neo4j keeps no note of ${projector.name}`);
  }
};

/** What a graph was made by: two programs that fold otherwise are never mixed. */
export const graphSource = async (projector: AnyGraphProjector): Promise<string> => {
  const { name, version, columns, handles, nodes, edges, keys, fold } = projector;
  const file = new URL(`../graph/${name.replace(/_graph$/, '')}.ts`, import.meta.url);
  const module = await readFile(file, 'utf8').catch(() => '');
  const declared = JSON.stringify({ name, version, columns, handles, nodes, edges });
  const sha = createHash('sha256').update('prov-ledger/graph-projector/v1');
  for (const part of [declared, codeOf(String(keys)), codeOf(String(fold)), codeOf(module)])
    sha.update(`${Buffer.byteLength(part)}:${part}`);
  return sha.digest('hex');
};

const codeOf = (code: string): string =>
  code
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('//'))
    .join('\n');
