// What became of the messages of each topic, partition and hour. The table itself refuses a row in which they do not add up.
import type { Client, Queryable } from '../connect.ts';
import { FLOW_FATES, type FlowFate, type Place } from './message.ts';

export type FlowCounts = { readonly [Fate in FlowFate]: number };

export const noFlow = (): { [Fate in FlowFate]: number } => ({
  accepted: 0,
  duplicate: 0,
  conflict: 0,
  dead_lettered: 0,
  held: 0,
});

export interface FlowChange extends Place {
  /** When the messages came in. */
  readonly at: number;
  readonly received: number;
  /** Of a move from one fate to another, the former is negative. */
  readonly counts: FlowCounts;
  readonly discarded?: number;
}

const HOUR_MS = 3_600_000;

export const addFlow = async (client: Client, changes: readonly FlowChange[]): Promise<void> => {
  const columns = ['received', ...FLOW_FATES, 'discarded'];
  await client.query({
    name: 'add_flow',
    // Not in one statement with ON CONFLICT: the constraint would be checked on the row proposed, which for a move
    // holds negative numbers.
    text: `INSERT INTO transport.flow (topic, partition, hour)
      SELECT DISTINCT topic, partition, hour FROM unnest($1::text[], $2::int[], $3::timestamptz[]) AS c (topic, partition, hour)
      ON CONFLICT DO NOTHING`,
    values: placesOf(changes),
  });
  await client.query({
    name: 'move_flow',
    text: `UPDATE transport.flow f SET ${columns.map((name) => `${name} = f.${name} + c.${name}`).join(', ')},
        stated_seq = NULL, changed_at = now()
      FROM (SELECT topic, partition, hour, ${columns.map((name) => `sum(${name})::bigint AS ${name}`).join(', ')}
        FROM unnest($1::text[], $2::int[], $3::timestamptz[], ${columns.map((_, index) => `$${index + 4}::bigint[]`).join(', ')})
          AS u (topic, partition, hour, ${columns.join(', ')}) GROUP BY 1, 2, 3) c
      WHERE f.topic = c.topic AND f.partition = c.partition AND f.hour = c.hour`,
    values: [
      ...placesOf(changes),
      changes.map(({ received }) => received),
      ...FLOW_FATES.map((fate) => changes.map(({ counts }) => counts[fate])),
      changes.map(({ discarded = 0 }) => discarded),
    ],
  });
};

const placesOf = (changes: readonly FlowChange[]) => [
  changes.map(({ topic }) => topic),
  changes.map(({ partition }) => partition),
  changes.map(({ at }) => new Date(Math.floor(at / HOUR_MS) * HOUR_MS)),
];

export interface FlowRow extends Place, FlowCounts {
  /** RFC 3339, the beginning of the hour. */
  readonly hour: string;
  readonly received: number;
  readonly discarded: number;
  /** The fact that states it as it is; `undefined` when there is none. */
  readonly stated_seq: number | undefined;
}

export interface FlowFilter {
  readonly topic?: string | undefined;
}

type StoredFlow = Omit<FlowRow, 'hour' | 'stated_seq'> & {
  readonly hour: Date;
  readonly stated_seq: number | null;
};

export const readFlow = async (
  client: Queryable,
  { topic }: FlowFilter = {},
): Promise<readonly FlowRow[]> => {
  const { rows } = await client.query<StoredFlow>(
    `SELECT topic, partition, hour, received, accepted, duplicate, conflict, dead_lettered, held, discarded, stated_seq
      FROM transport.flow WHERE $1::text IS NULL OR topic = $1 ORDER BY topic, hour, partition`,
    [topic ?? null],
  );
  return rows.map(({ hour, stated_seq, ...rest }) => ({
    ...rest,
    hour: hour.toISOString(),
    stated_seq: stated_seq ?? undefined,
  }));
};

/** One partition as a whole: what was taken from it against what its offsets say it held. */
export interface PartitionFlow extends Place, FlowCounts {
  readonly first_offset: number;
  readonly next_offset: number;
  /** How often the topic was found made anew. */
  readonly incarnation: number;
  readonly absent: number;
  readonly lost: number;
  readonly received: number;
  /** Offsets passed, less those without a message, less the messages received: zero when every message was counted. */
  readonly missing: number;
}

export const readPartitions = async (
  client: Queryable,
  topic?: string,
): Promise<readonly PartitionFlow[]> => {
  const { rows } = await client.query<PartitionFlow>(
    `SELECT p.topic, p.partition, p.first_offset, p.next_offset, p.incarnation, p.absent, p.lost,
        coalesce(sum(f.received), 0)::bigint AS received,
        ${FLOW_FATES.map((fate) => `coalesce(sum(f.${fate}), 0)::bigint AS ${fate}`).join(', ')},
        (p.passed_before + p.next_offset - p.first_offset - p.absent - p.lost - coalesce(sum(f.received), 0))::bigint AS missing
      FROM transport.positions p LEFT JOIN transport.flow f USING (topic, partition)
      WHERE $1::text IS NULL OR p.topic = $1 GROUP BY p.topic, p.partition ORDER BY p.topic, p.partition`,
    [topic ?? null],
  );
  return rows;
};
