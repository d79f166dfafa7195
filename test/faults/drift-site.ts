// Both stores of friendships, filled from one chain, and their attestation.
import { type Attested, attest, noTrees, type Trees } from '#projectors/attestation/attest.ts';
import { attestedGraph } from '#projectors/neo4j/attested.ts';
import { connectGraph } from '#projectors/neo4j/connect.ts';
import { removeNodes } from '#projectors/neo4j/rebuild.ts';
import { ensureGraph } from '#projectors/neo4j/schema.ts';
import { neo4jSink } from '#projectors/neo4j/sink.ts';
import { attestedTables } from '#projectors/postgres/attested.ts';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { runProjectors } from '#projectors/run.ts';
import { acquaintance } from '../projectors/acquaintance.ts';
import { ACME, chain, chainsOf, feedOf, projectionDatabase } from '../projectors/chains.ts';
import { decode, TABLES } from '../projectors/tally.ts';
import { type DriftSite, type Pair } from './drift.ts';
import { friends, friendshipMapping, friendships } from './friendships.ts';

export interface OpenDriftSite extends DriftSite, AsyncDisposable {
  readonly pairs: readonly Pair[];
  /** All of both stores unless `again` says how many old buckets. */
  readonly attest: (trees?: Trees, again?: number) => Promise<Attested>;
}

/** The graph at `url` is emptied first. */
export const openDriftSite = async (
  url: string,
  { edges, people }: { readonly edges: number; readonly people: number },
): Promise<OpenDriftSite> => {
  await using opening = new AsyncDisposableStack();
  const graph = opening.use(connectGraph({ url }));
  await removeNodes(graph, '(n)');
  await ensureGraph(graph, [acquaintance]);
  const db = opening.use(await projectionDatabase([friendships], TABLES));
  const facts = chain(ACME, friends(edges, people));
  const feed = feedOf(chainsOf(facts));
  const signal = new AbortController().signal;
  const run = { feed, signal, decode, untilCaughtUp: true } as const;
  await runProjectors({ ...run, sink: postgresRowSink({ pool: db.pool }), projectors: [friendships] });
  await runProjectors({ ...run, sink: neo4jSink({ graph }), projectors: [acquaintance] });
  await db.owner.query('ANALYZE projections.friendships_v1');
  const left = attestedTables({ pool: db.pool, mapping: friendshipMapping });
  const right = attestedGraph({ graph, projector: acquaintance });
  const open = opening.move();
  return {
    graph,
    owner: db.owner,
    pairs: facts.map(({ seq, payload }) => {
      const { who, whom, tags } = JSON.parse(payload) as { who: string; whom: string; tags?: unknown };
      return { who, whom, seq, tagged: tags !== undefined };
    }),
    attest: (trees = noTrees(), again) =>
      attest({
        tenant: ACME,
        left,
        right,
        trees,
        head: async () => facts.length,
        ...(again !== undefined && { again }),
      }),
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
};
