// Ways through a history that must not matter: how many facts at once, on how many threads, stopped and gone on with, in
// another order of arrival; and a read model's table, live or rebuilt, as PostgreSQL has it.

import type { AnyProjector } from '#projectors/batch.ts';
import { rowHash } from '#projectors/digest.ts';
import { liveBuild } from '#projectors/postgres/builds.ts';
import { rowLineSql } from '#projectors/postgres/digest.ts';
import { tableOf } from '#projectors/postgres/statements.ts';
import type { Sha256 } from '#schemas/ids.ts';
import { type Client, type Pool, withClient } from '#streams/postgres/connect.ts';
import { copyOut } from '#streams/postgres/copy.ts';
import type { ReplayFeed } from '../feed.ts';
import { chanceOf } from '../fixtures/chance.ts';
import type { ExpectedModel } from '../fixtures/format.ts';
import { type ReplayResult, type ReplayState, replay } from '../replay.ts';
import { rowHashes } from '../row-hashes.ts';
import { rowsWriter } from './rows.ts';
import type { Walked, Way } from './way.ts';

export interface ReplayWayOptions {
  readonly name: string;
  readonly feed: (events: number | undefined) => Promise<ReplayFeed>;
  readonly takesEvents?: boolean;
  readonly projectors: readonly AnyProjector[];
  readonly workers: number;
  readonly batchSize: number;
  /** For row hashes that do not fit into memory. */
  readonly folder: string;
  readonly signal?: AbortSignal | undefined;
  /** Stopped so often, at places drawn from the seed, and gone on with from what a file would hold. */
  readonly restarts?:
    | { readonly seed: number; readonly times: number; readonly facts: () => number }
    | undefined;
}

export const replayWay = (options: ReplayWayOptions): Way => ({
  name: options.name,
  takesEvents: options.takesEvents ?? true,
  walk: async ({ events, rows }) => {
    using writer = rows === undefined ? undefined : rowsWriter(rows, options.projectors);
    return walkedOf(
      await inLegs(options, { events, stops: stopsOf(options, events), onRows: writer?.write }),
    );
  },
});

const stopsOf = ({ restarts }: ReplayWayOptions, events: number | undefined): readonly number[] => {
  if (!restarts) return [];
  const { seed, times, facts } = restarts;
  const { int } = chanceOf(seed);
  const stops = Array.from({ length: times }, () => 1 + int(Math.min(facts(), events ?? facts())));
  return stops.sort((a, b) => a - b);
};

interface Legs {
  readonly events: number | undefined;
  /** Facts after which a leg ends; the last leg goes to the end. */
  readonly stops: readonly number[];
  readonly onRows: ((projection: string, lines: readonly string[]) => void) | undefined;
}

const inLegs = async (
  { feed, projectors, workers, batchSize, folder, signal }: ReplayWayOptions,
  { events, stops, onRows }: Legs,
): Promise<ReplayResult> => {
  let from: ReplayState | undefined;
  for (const stop of [...stops, Number.POSITIVE_INFINITY]) {
    const leg = new AbortController();
    const result = await replay({
      feed: await feed(events),
      projectors,
      workers,
      batchSize,
      folder,
      from,
      onRows,
      signal: signal ? AbortSignal.any([signal, leg.signal]) : leg.signal,
      onProgress: ({ facts }) => {
        if (facts >= stop) leg.abort();
      },
    });
    if (result.verdict !== 'interrupted' || signal?.aborted) return result;
    // As it would come back from a file.
    if (result.state) from = JSON.parse(JSON.stringify(result.state)) as ReplayState;
  }
  throw new Error('the last leg has no end of its own');
};

const walkedOf = ({ outcome, fault }: ReplayResult): Walked => ({
  chains: outcome.chains,
  models: outcome.models,
  fault,
});

export interface TablesOptions {
  readonly pool: Pool;
  readonly projectors: readonly AnyProjector[];
  /** For row hashes that do not fit into memory. */
  readonly folder: string;
  /** As in `Asked`. */
  readonly rows?: string | undefined;
}

/** What the tables in use hold, each row as PostgreSQL itself writes it. */
export const tableModels = async ({ pool, projectors, folder, rows }: TablesOptions): Promise<Walked> => {
  using writer = rows === undefined ? undefined : rowsWriter(rows, projectors);
  const models: ExpectedModel[] = [];
  for (const projector of projectors) {
    const take = (lines: readonly string[]): void => writer?.write(projector.name, lines);
    models.push(await withClient(pool, (client) => tableModel(client, projector, { folder, take })));
  }
  return { models };
};

interface Taking {
  readonly folder: string;
  readonly take: (lines: readonly string[]) => void;
}

const tableModel = async (
  client: Client,
  projector: AnyProjector,
  { folder, take }: Taking,
): Promise<ExpectedModel> => {
  const { build } = await liveBuild(client, projector);
  using hashes = rowHashes({ folder, name: `table-${projector.name}` });
  const query = `SELECT ${rowLineSql(projector)} FROM ${tableOf(projector, build)} t`;
  for await (const { bytes, rows } of copyOut(client, query)) {
    // One column, behind its length.
    const lines = rows.map((at) => bytes.toString('utf8', at + 4, at + 4 + bytes.readInt32BE(at)));
    hashes.add(Buffer.from(lines.map(rowHash).join(''), 'latin1'));
    take(lines);
  }
  const { name: projection, version } = projector;
  return { projection, version, rows: hashes.count(), digest: hashes.digest() as Sha256 };
};
