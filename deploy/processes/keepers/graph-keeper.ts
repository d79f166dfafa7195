// The graphs beside the tables, kept by a service that has the address of a Neo4j. They follow the ledger with a run of
// their own: while Neo4j is away they lag, and nothing else waits for them.
import { setTimeout as pause } from 'node:timers/promises';
import type { Figure } from '#gateway/http/metrics.ts';
import { graphProjectors } from '#projectors/graph/index.ts';
import type { Graph } from '#projectors/neo4j/connect.ts';
import { ensureGraph } from '#projectors/neo4j/schema.ts';
import { neo4jSink, readGraphCheckpoints } from '#projectors/neo4j/sink.ts';
import { lagBehind, type ProjectionLag } from '#projectors/postgres/lag.ts';
import { skipsIn } from '#projectors/rebuild/skips.ts';
import { runProjectors } from '#projectors/run.ts';
import type { Checkpoint } from '#projectors/sink.ts';
import { errorFields, type Log } from '../../telemetry/logs.ts';
import { sampled } from '../../telemetry/sampled.ts';
import type { WiredLedger } from '../ledger/wire.ts';
import { keepAttested } from './attest-keeper.ts';

export interface GraphKeeper extends AsyncDisposable {
  readonly lag: () => readonly ProjectionLag[];
  readonly figures: readonly Figure[];
}

export interface KeepGraphOptions {
  readonly ledger: WiredLedger;
  readonly graph: Graph;
  readonly log: Log;
  /** False: another process takes the graphs further, this one only looks. */
  readonly project: boolean;
  /** In which tables and graph are compared once; 0: not by this process. */
  readonly attestSeconds: number;
  /** Tenants that its figures name; 20 unless told. */
  readonly namesMax?: number;
}

const ASK_EVERY_MS = 5_000;
/** After a failure that waiting may not cure: a wrong password, a server that is not understood. */
const AGAIN_MS = 5_000;

export const keepGraph = ({
  ledger,
  graph,
  log,
  project,
  attestSeconds,
  namesMax = 20,
}: KeepGraphOptions): GraphKeeper => {
  const attested =
    project && attestSeconds > 0
      ? keepAttested({ ledger, graph, log, cycleMs: attestSeconds * 1_000, namesMax })
      : undefined;
  const ending = new AbortController();
  const kept = project ? follow({ ledger, log, graph, signal: ending.signal }) : Promise.resolve();
  const lag = sampled(lagOf(ledger, graph), ASK_EVERY_MS);
  return {
    lag: () => lag.latest()?.lags ?? [],
    figures: [
      {
        name: 'ledger_graph_up',
        help: 'Whether the Neo4j of the graph read models answered last time: 1 or 0.',
        read: () => [{ value: lag.latest()?.up === true ? 1 : 0 }],
      },
      ...(attested?.figures ?? []),
    ],
    [Symbol.asyncDispose]: async () => {
      ending.abort();
      await attested?.[Symbol.asyncDispose]();
      await kept;
      await lag[Symbol.asyncDispose]();
    },
  };
};

interface Following extends Pick<KeepGraphOptions, 'ledger' | 'log'> {
  readonly graph: Graph;
  readonly signal: AbortSignal;
}

/** Never rejects. */
const follow = async ({ ledger, log, graph, signal }: Following): Promise<void> => {
  const sink = neo4jSink({ graph, skips: skipsIn(ledger.store) });
  while (!signal.aborted) {
    try {
      await ensureGraph(graph, graphProjectors);
      await runProjectors({
        feed: ledger.feed,
        sink,
        projectors: graphProjectors,
        signal,
        onHalt: ({ projection, tenant, seq, message }) =>
          log('error', 'a graph has halted', { projection, tenant, seq, ...errorFields(new Error(message)) }),
        onHeld: ({ projection, version, why }) => log('warn', HELD[why], { projection, version }),
        onRetry: (error, delayMs) => log('warn', 'the graphs wait', { delayMs, ...errorFields(error) }),
      });
    } catch (error) {
      log('warn', 'the graphs are not kept: Neo4j', { againInMs: AGAIN_MS, ...errorFields(error) });
      await pause(AGAIN_MS, undefined, { signal }).catch(() => undefined);
    }
  }
};

const HELD = {
  paused: 'a graph is being rebuilt; `prov-ledger graph rebuild` finishes a rebuild that was cut off',
  changed:
    'a graph was made by another source than this program has, and is left alone; `prov-ledger graph rebuild` makes it anew',
} as const;

interface Sampled {
  readonly up: boolean;
  readonly lags: readonly ProjectionLag[];
}

/** While Neo4j is away, what was last known of it grows old. */
const lagOf = ({ databases }: WiredLedger, graph: Graph) => {
  const known = new Map<string, readonly Checkpoint[]>();
  return async (): Promise<Sampled> => {
    let up = true;
    for (const projector of graphProjectors) {
      try {
        known.set(projector.name, await readGraphCheckpoints(graph, projector));
      } catch {
        up = false;
      }
    }
    const lags: ProjectionLag[] = [];
    // In the order of the graphs, whichever answered first.
    for (const { name } of graphProjectors) {
      const checkpoints = known.get(name);
      if (checkpoints) lags.push(await lagBehind(databases, name, checkpoints));
    }
    return { up, lags };
  };
};
