// Two stores that say the same are made to differ, one mutation at a time, each undone before the next: every one must be
// found, at its element and field, with its class; what only looks different must be passed over.

import type { Difference } from '#projectors/attestation/difference.ts';
import { elementKey } from '#projectors/attestation/element.ts';
import type { Graph } from '#projectors/neo4j/connect.ts';
import type { Pool } from '#streams/postgres/connect.ts';

export interface DriftSite {
  readonly graph: Graph;
  /** As the owner of the tables. */
  readonly owner: Pool;
}

/** One friendship, as it was recorded. */
export interface Pair {
  readonly who: string;
  readonly whom: string;
  readonly seq: number;
  readonly tagged: boolean;
}

export interface Mutation {
  readonly kind: string;
  /** What must be found, as `class element field`; nothing for what is equal all the same. */
  readonly expected: readonly string[];
  readonly apply: () => Promise<unknown>;
  readonly undo: () => Promise<unknown>;
}

/** As expectations name it. */
export const named = ({ class: kind, element, field }: Difference): string =>
  [kind, element, field].filter((part) => part !== undefined).join(' ');

const EDGE = `MATCH (a:Person {tenant: 'acme', name: $who})-[x:KNOWS]->(b:Person {tenant: 'acme', name: $whom})`;
const ROW = `UPDATE projections.friendships_v1`;
const OF = `WHERE tenant = 'acme' AND who = $1 AND whom = $2`;

/** Every kind of mutation at one pair; `other` is another pair with another weight. */
export const mutationsAt = (site: DriftSite, pair: Pair, other: Pair): readonly Mutation[] => [
  ...edgesOf(site, pair, other),
  ...valuesOf(site, pair),
  ...equalForms(site, pair),
  ...rowsOf(site, pair),
];

const keyOf = ({ who, whom }: Pair): string => elementKey('KNOWS', who, whom);

const cypher =
  ({ graph }: DriftSite, pair: Pair) =>
  (text: string, more: object = {}) =>
  (): Promise<unknown> =>
    graph.query(text, { who: pair.who, whom: pair.whom, ...more });

const edgesOf = (site: DriftSite, pair: Pair, other: Pair): readonly Mutation[] => {
  const run = cypher(site, pair);
  const key = keyOf(pair);
  const park = `CREATE (:Parked {properties: x.seq, since: x.since, weight: x.weight, tags: x.tags})`;
  const restored =
    'x.tenant = "acme", x.seq = p.properties, x.since = p.since, x.weight = p.weight, x.tags = p.tags, x.met = 1';
  const ends = `MATCH (p:Parked) MATCH (a:Person {tenant: 'acme', name: $who}) MATCH (b:Person {tenant: 'acme', name: $whom})`;
  const swap = `MATCH (:Person {tenant: 'acme', name: $who})-[x:KNOWS]->(:Person {tenant: 'acme', name: $whom})
    MATCH (:Person {tenant: 'acme', name: $otherWho})-[y:KNOWS]->(:Person {tenant: 'acme', name: $otherWhom})
    WITH x, y, x.weight AS one, y.weight AS two SET x.weight = two, y.weight = one`;
  const others = { otherWho: other.who, otherWhom: other.whom };
  return [
    {
      kind: 'drop',
      expected: [`missing ${key}`],
      apply: run(`${EDGE} ${park} DELETE x`),
      undo: run(`${ends} CREATE (a)-[x:KNOWS]->(b) SET ${restored} DELETE p`),
    },
    {
      kind: 'duplicate',
      expected: [`extra ${key}`],
      apply: run(`${EDGE} CREATE (a)-[y:KNOWS]->(b) SET y = properties(x)`),
      undo: run(`${EDGE} WITH collect(x) AS twins UNWIND tail(twins) AS y DELETE y`),
    },
    {
      kind: 'edge direction',
      expected: [`value ${key} direction`],
      apply: run(`${EDGE} CREATE (b)-[y:KNOWS]->(a) SET y = properties(x) DELETE x`),
      undo: run(
        `MATCH (b:Person {tenant: 'acme', name: $whom})-[x:KNOWS]->(a:Person {tenant: 'acme', name: $who})
         CREATE (a)-[y:KNOWS]->(b) SET y = properties(x) DELETE x`,
      ),
    },
    {
      kind: 'swap',
      expected: [`value ${key} weight`, `value ${keyOf(other)} weight`],
      apply: run(swap, others),
      undo: run(swap, others),
    },
    {
      kind: 'stray edge',
      expected: [`extra ${elementKey('KNOWS', pair.who, pair.who)}`],
      apply: run(
        `MATCH (a:Person {tenant: 'acme', name: $who}) CREATE (a)-[:KNOWS {tenant: 'acme', weight: 1}]->(a)`,
      ),
      undo: run(`MATCH (a:Person {tenant: 'acme', name: $who})-[x:KNOWS]->(a) DELETE x`),
    },
    {
      kind: 'extra node',
      expected: [`extra ${elementKey('Person', 'nobody', '')}`],
      apply: run(`CREATE (:Person {tenant: 'acme', name: 'nobody', seq: 1})`),
      undo: run(`MATCH (n:Person {tenant: 'acme', name: 'nobody'}) DELETE n`),
    },
  ];
};

const REVERSED = 'x.tags = [i IN range(size(x.tags) - 1, 0, -1) | x.tags[i]]';

const valuesOf = (site: DriftSite, pair: Pair): readonly Mutation[] => {
  const run = cypher(site, pair);
  const edited = (
    kind: string,
    field: string,
    [set, undo]: readonly [string, string],
    as = 'value',
  ): Mutation => ({
    kind,
    expected: [`${as} ${keyOf(pair)} ${field}`],
    apply: run(`${EDGE} SET ${set}`),
    undo: run(`${EDGE} SET ${undo}`),
  });
  const lists = [
    edited('list order', 'tags', [REVERSED, REVERSED], 'order'),
    edited('list item', 'tags', ["x.tags = x.tags + 'more'", 'x.tags = x.tags[0..3]']),
    edited('null against a value', 'tags', [
      'x.kept = x.tags, x.tags = null',
      'x.tags = x.kept, x.kept = null',
    ]),
  ];
  return [
    edited('property edit', 'weight', ['x.weight = x.weight + 1', 'x.weight = x.weight - 1']),
    edited('property added', 'colour', ["x.colour = 'red'", 'x.colour = null']),
    edited('int against float', 'weight', ['x.weight = toFloat(x.weight)', 'x.weight = toInteger(x.weight)']),
    edited('another time', 'since', [
      "x.since = x.since + duration('PT2H')",
      "x.since = x.since - duration('PT2H')",
    ]),
    edited('a finer time', 'since', [
      "x.since = x.since + duration('PT0.000000001S')",
      "x.since = x.since - duration('PT0.000000001S')",
    ]),
    edited('time zone lost', 'since', [
      'x.since = localdatetime({datetime: x.since})',
      "x.since = datetime({datetime: x.since, timezone: 'Z'})",
    ]),
    edited('place', 'seq', ['x.seq = x.seq + 1000000', 'x.seq = x.seq - 1000000']),
    ...(pair.tagged
      ? lists.map((each) => (each.kind === 'null against a value' ? withKept(each, pair) : each))
      : []),
  ];
};

/** The value is set aside on the edge itself, which is one more difference. */
const withKept = (mutation: Mutation, pair: Pair): Mutation => ({
  ...mutation,
  expected: [`value ${keyOf(pair)} kept`, `value ${keyOf(pair)} tags`],
});

const equalForms = (site: DriftSite, pair: Pair): readonly Mutation[] => {
  const run = cypher(site, pair);
  const same = (kind: string, set: string, undo: string, more: object = {}): Mutation => ({
    kind,
    expected: [],
    apply: run(`${EDGE} SET ${set}`, more),
    undo: run(`${EDGE} SET ${undo}`, more),
  });
  const forms = { nfd: 'Zoë'.normalize('NFD'), nfc: 'Zoë'.normalize('NFC') };
  return [
    same(
      'same moment, another zone',
      "x.since = datetime({datetime: x.since, timezone: '+02:00'})",
      "x.since = datetime({datetime: x.since, timezone: 'Z'})",
    ),
    same('null against absent', 'x.colour = null', 'x.colour = null'),
    ...(pair.tagged
      ? [same('Unicode form', 'x.tags = [$nfd] + x.tags[1..]', 'x.tags = [$nfc] + x.tags[1..]', forms)]
      : []),
  ];
};

const rowsOf = ({ owner }: DriftSite, pair: Pair): readonly Mutation[] => {
  const sql = (text: string) => (): Promise<unknown> => owner.query(text, [pair.who, pair.whom]);
  const edited = (kind: string, set: string, undo: string): Mutation => ({
    kind: `row: ${kind}`,
    expected: [`value ${keyOf(pair)} weight`],
    apply: sql(`${ROW} SET ${set} ${OF}`),
    undo: sql(`${ROW} SET ${undo} ${OF}`),
  });
  return [
    edited('property edit', 'weight = weight + 1', 'weight = weight - 1'),
    {
      kind: 'row: drop',
      expected: [`extra ${keyOf(pair)}`],
      apply: async () => {
        await owner.query(
          `CREATE TABLE IF NOT EXISTS parked AS SELECT * FROM projections.friendships_v1 LIMIT 0`,
        );
        await owner.query(
          `WITH gone AS (DELETE FROM projections.friendships_v1 ${OF} RETURNING *) INSERT INTO parked SELECT * FROM gone`,
          [pair.who, pair.whom],
        );
      },
      undo: async () => {
        await owner.query('INSERT INTO projections.friendships_v1 SELECT * FROM parked');
        await owner.query('TRUNCATE parked');
      },
    },
  ];
};
