// prov-ledger graph ...: how far the graphs in Neo4j are, making them anew, and letting one that has halted try again.
import type { Command } from 'commander';
import type { AnyGraphProjector } from '#projectors/graph/graph.ts';
import { graphProjectors } from '#projectors/graph/index.ts';
import type { Graph } from '#projectors/neo4j/connect.ts';
import { clearGraph } from '#projectors/neo4j/rebuild.ts';
import { ensureGraph } from '#projectors/neo4j/schema.ts';
import { neo4jSink, readGraphCheckpoints } from '#projectors/neo4j/sink.ts';
import { resumeGraph } from '#projectors/neo4j/status.ts';
import { skipsIn } from '#projectors/rebuild/skips.ts';
import { runProjectors } from '#projectors/run.ts';
import type { HaltCause } from '#projectors/sink.ts';
import type { TenantId } from '#schemas/ids.ts';
import { aTenant, group, ledgerLeaf, type Options, type Run } from './command.ts';
import { CliError } from './exit.ts';
import { count, figure, table, visible } from './output.ts';
import { startProgress } from './progress.ts';
import type { OpenLedger } from './world.ts';

/** The graph, or the error that there is none. */
export const graphOf = async ({ graph }: OpenLedger): Promise<Graph> => {
  if (graph) return await graph();
  throw new CliError('usage', 'no-graph', 'there is no graph: set NEO4J_URL to the address of a Neo4j');
};

const graphNamed = (name: string): AnyGraphProjector => {
  const found = graphProjectors.find((projector) => projector.name === name);
  if (found) return found;
  throw new CliError(
    'usage',
    'no-such-projection',
    `there is no graph ${name}; there are ${graphProjectors.map((each) => each.name).join(', ')}`,
  );
};

interface GraphRow {
  readonly tenant: TenantId;
  readonly graph: string;
  readonly state: 'halted' | 'current' | 'behind';
  readonly asOfSeq: number;
  readonly headSeq: number;
  readonly fault: HaltCause | undefined;
}

const statusText = (rows: readonly GraphRow[]): string => {
  if (rows.length === 0) return 'no tenants yet; make one with `prov-ledger tenant create NAME`';
  const lines = rows.map((row) => [
    row.tenant,
    row.graph,
    row.state,
    figure(row.asOfSeq),
    count(row.headSeq - row.asOfSeq, 'fact'),
  ]);
  const halts = rows.flatMap(({ tenant, graph, fault }) =>
    fault
      ? [
          `${graph} of ${tenant} halted at fact ${fault.seq}: ${visible(fault.message)}`,
          `  -> put the cause right, then run \`prov-ledger graph resume ${graph} --tenant ${tenant}\``,
        ]
      : [],
  );
  return [table(['TENANT', 'GRAPH', 'STATE', 'AS OF', 'BEHIND'], lines), ...halts].join('\n');
};

const status = (run: Run): Command =>
  ledgerLeaf(
    run,
    {
      usage: 'status',
      summary: 'how far each graph is with each tenant, and why one has halted',
      examples: ['graph status', 'graph status --json'],
    },
    async ({ ledger, output }) => {
      const graph = await graphOf(ledger);
      const rows: GraphRow[] = [];
      for (const projector of graphProjectors) {
        const known = new Map(
          (await readGraphCheckpoints(graph, projector)).map((each) => [each.tenant, each]),
        );
        for (const { tenant, seq: headSeq } of await ledger.store.heads()) {
          const { seq: asOfSeq = 0, fault } = known.get(tenant) ?? {};
          const state = fault ? 'halted' : asOfSeq === headSeq ? 'current' : 'behind';
          rows.push({ tenant, graph: projector.name, state, asOfSeq, headSeq, fault });
        }
      }
      output.answer({ graphs: rows }, () => statusText(rows));
      return 'ok';
    },
  );

const rebuild = (run: Run): Command =>
  ledgerLeaf<{ readonly quiet?: boolean } & Options>(
    run,
    {
      usage: 'rebuild <name>',
      summary: 'empty a graph and fold it anew from the ledger; it fills while it is asked',
      examples: ['graph rebuild receipts_graph'],
      build: (command) => command.option('-q, --quiet', 'show no progress'),
    },
    async ({ ledger, output, world }, { quiet }, [name = '']) => {
      const projector = graphNamed(name);
      const graph = await graphOf(ledger);
      await ensureGraph(graph, [projector]);
      await clearGraph(graph, projector);
      const heads = await ledger.store.heads();
      const total = heads.reduce((sum, { seq }) => sum + seq, 0);
      let done = 0;
      const progress = startProgress({
        terminal: world.stderr,
        unit: 'facts',
        verb: 'folded',
        state: () => ({ done, share: total > 0 ? done / total : undefined }),
        enabled: !quiet && !output.json,
      });
      try {
        await runProjectors({
          feed: ledger.feed,
          sink: neo4jSink({ graph, skips: skipsIn(ledger.store) }),
          projectors: [projector],
          signal: world.signal,
          untilCaughtUp: true,
          onBatch: ({ facts }) => {
            done += facts;
          },
        });
      } finally {
        progress.stop();
      }
      const halted = (await readGraphCheckpoints(graph, projector)).filter(
        ({ fault }) => fault !== undefined,
      );
      output.answer({ graph: name, facts: done, halted: halted.map(({ tenant }) => tenant) }, () =>
        halted.length === 0
          ? `${name} is made anew from ${count(done, 'fact')}`
          : `${name} has halted for ${halted.map(({ tenant }) => tenant).join(', ')}; \`prov-ledger graph status\` says why`,
      );
      return halted.length === 0 ? 'ok' : 'refused';
    },
  );

const resume = (run: Run): Command =>
  ledgerLeaf<{ readonly tenant: TenantId } & Options>(
    run,
    {
      usage: 'resume <name>',
      summary: 'let a graph that has halted for a tenant try the same fact again, which is never skipped',
      examples: ['graph resume receipts_graph --tenant acme'],
      build: (command) =>
        command.requiredOption('-t, --tenant <tenant>', 'the tenant it has halted for', aTenant),
    },
    async ({ ledger, output }, { tenant }, [name = '']) => {
      if (!(await resumeGraph(await graphOf(ledger), graphNamed(name), tenant)))
        throw new CliError('refused', 'not-halted', `${name} of ${tenant} has not halted`);
      output.answer(
        { graph: name, tenant, status: 'running' },
        () => `${name} of ${tenant} tries again; running services notice within seconds`,
      );
      return 'ok';
    },
  );

export const graphCommands = (run: Run): Command =>
  group('graph', 'the read models in Neo4j', [status(run), rebuild(run), resume(run)]);
