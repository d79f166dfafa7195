// Each hour that is over is stated as a fact, and again whenever its row has changed: a letter that is replayed moves in
// the hour in which it came. The fact and the note in the row that it is stated are one transaction.
import type { AppendRequest } from '#streams/stream.ts';
import type { Client, Pool } from '../connect.ts';
import { streamError } from '../connect.ts';
import type { Together } from '../together.ts';
import type { FlowCounts } from './flow.ts';
import { FLOW_FATES, type Place } from './message.ts';

/** The row of an hour that is over, and that no fact states as it is. */
export interface UnstatedFlow extends Place, FlowCounts {
  /** The beginning of the hour. */
  readonly hour: Date;
  readonly received: number;
  readonly discarded: number;
  /** Grows with each change of the row. */
  readonly version: number;
}

export interface StateFlowOptions {
  readonly pool: Pool;
  readonly together: Together;
  /** The statement; the same row in the same version gives the same one. */
  readonly requestOf: (row: UnstatedFlow) => AppendRequest;
}

const AT_ONCE = 500;
const VERSION = '(extract(epoch FROM changed_at) * 1000000)::bigint';

/** States what is to be stated; returns how many rows. Several processes may do it at once. Throws `StreamError`. */
export const stateFlow = async ({ pool, together, requestOf }: StateFlowOptions): Promise<number> => {
  for (let stated = 0; ; ) {
    const rows = await unstated(pool);
    if (rows.length === 0) return stated;
    const fates = await together.commit({
      requests: rows.map(requestOf),
      // What the ledger says about itself passes no gate.
      expects: [],
      before: (client) => unchanged(client, rows),
      after: (client, all) =>
        note(
          client,
          rows,
          all.map((fate) => {
            if (fate.kind === 'appended') return fate.seq;
            if (fate.kind === 'repeated') return fate.first.seq;
            throw new Error(`a statement is ${fate.kind}`);
          }),
        ),
    });
    if (fates) stated += rows.length;
  }
};

const unstated = async (pool: Pool): Promise<readonly UnstatedFlow[]> => {
  try {
    const { rows } = await pool.query<UnstatedFlow>(
      `SELECT topic, partition, hour, received, ${FLOW_FATES.join(', ')}, discarded, ${VERSION} AS version
        FROM transport.flow WHERE stated_seq IS NULL AND hour <= now() - interval '1 hour'
        ORDER BY hour, topic, partition LIMIT $1`,
      [AT_ONCE],
    );
    return rows;
  } catch (error) {
    throw streamError(error);
  }
};

const keysOf = (rows: readonly UnstatedFlow[]) => [
  rows.map(({ topic }) => topic),
  rows.map(({ partition }) => partition),
  rows.map(({ hour }) => hour),
];
const KEYS = '$1::text[], $2::int[], $3::timestamptz[]';

/** Locks them; false when one was changed or stated meanwhile. */
const unchanged = async (client: Client, rows: readonly UnstatedFlow[]): Promise<boolean> => {
  const { rowCount } = await client.query(
    `SELECT FROM transport.flow f JOIN unnest(${KEYS}, $4::bigint[]) AS w (topic, partition, hour, version)
        USING (topic, partition, hour)
      WHERE f.stated_seq IS NULL AND ${VERSION} = w.version FOR UPDATE OF f`,
    [...keysOf(rows), rows.map(({ version }) => version)],
  );
  return rowCount === rows.length;
};

const note = async (
  client: Client,
  rows: readonly UnstatedFlow[],
  seqs: readonly number[],
): Promise<void> => {
  await client.query(
    `UPDATE transport.flow f SET stated_seq = s.seq
      FROM unnest(${KEYS}, $4::bigint[]) AS s (topic, partition, hour, seq)
      WHERE f.topic = s.topic AND f.partition = s.partition AND f.hour = s.hour`,
    [...keysOf(rows), seqs],
  );
};
