// How far each partition was taken, and the compare-and-swap that lets one consumer alone go on from there.
import type { Client, Queryable } from '../connect.ts';
import { openKeys } from './letters.ts';
import type { Place } from './message.ts';

export interface Position {
  /** The offset to be taken next. */
  readonly next: number;
  /** Counts the changes that others made to the partition's letters. */
  readonly epoch: number;
  /** How often the topic was found made anew. */
  readonly incarnation: number;
  /** `messageHash` of the message before `next`; nothing where none was taken. */
  readonly last: Buffer | undefined;
  /** What comes with one of these keys is held (latin1 of the key's bytes). */
  readonly heldKeys: ReadonlySet<string>;
}

/** The position, begun at `first` when the partition was never taken from. */
export const openPosition = async (client: Queryable, place: Place, first: number): Promise<Position> => {
  const { topic, partition } = place;
  await client.query(
    `INSERT INTO transport.positions (topic, partition, first_offset, next_offset) VALUES ($1, $2, $3, $3)
      ON CONFLICT DO NOTHING`,
    [topic, partition, first],
  );
  return (await readPosition(client, place)) as Position;
};

interface Row {
  readonly next_offset: number;
  readonly epoch: number;
  readonly incarnation: number;
  readonly last_message: Buffer | null;
}

/** `undefined` when the partition was never taken from. */
export const readPosition = async (client: Queryable, place: Place): Promise<Position | undefined> => {
  const { topic, partition } = place;
  const { rows } = await client.query<Row>(
    'SELECT next_offset, epoch, incarnation, last_message FROM transport.positions WHERE topic = $1 AND partition = $2',
    [topic, partition],
  );
  const [row] = rows;
  // Read after the epoch: a change in between makes the epoch stale, and the keys are read again.
  if (!row) return undefined;
  const { next_offset: next, epoch, incarnation, last_message: last } = row;
  return { next, epoch, incarnation, last: last ?? undefined, heldKeys: await openKeys(client, place) };
};

/**
 * Begins the partition again at `low`, since its topic was made anew, unless another consumer has done so or has gone on
 * meanwhile; answers with the position as it is then.
 */
export const beginAnew = async (
  client: Queryable,
  place: Place,
  { found, low }: { readonly found: Position; readonly low: number },
): Promise<Position> => {
  const { topic, partition } = place;
  await client.query(
    `UPDATE transport.positions SET passed_before = passed_before + next_offset - first_offset, first_offset = $5,
        next_offset = $5, last_message = NULL, incarnation = incarnation + 1, epoch = epoch + 1
      WHERE topic = $1 AND partition = $2 AND next_offset = $3 AND incarnation = $4`,
    [topic, partition, found.next, found.incarnation, low],
  );
  return (await readPosition(client, place)) as Position;
};

export interface PositionMove extends Place {
  readonly position: Pick<Position, 'next' | 'epoch'>;
  readonly next: number;
  /** `messageHash` of the message before `next`. */
  readonly last: Buffer | undefined;
  /** Offsets below `next` at which there was no message; and those that retention had removed. */
  readonly absent: number;
  readonly lost: number;
}

/** True when all of them stood where they were expected; they are locked until the transaction ends. */
export const movePositions = async (client: Client, moves: readonly PositionMove[]): Promise<boolean> => {
  const { rowCount } = await client.query({
    name: 'move_positions',
    text: `UPDATE transport.positions p SET next_offset = m.next, last_message = m.last, absent = p.absent + m.absent,
        lost = p.lost + m.lost
      FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
        $8::bytea[]) AS m (topic, partition, expected, epoch, next, absent, lost, last)
      WHERE p.topic = m.topic AND p.partition = m.partition AND p.next_offset = m.expected AND p.epoch = m.epoch`,
    values: [
      moves.map(({ topic }) => topic),
      moves.map(({ partition }) => partition),
      moves.map(({ position }) => position.next),
      moves.map(({ position }) => position.epoch),
      moves.map(({ next }) => next),
      moves.map(({ absent }) => absent),
      moves.map(({ lost }) => lost),
      moves.map(({ last }) => last ?? null),
    ],
  });
  return rowCount === moves.length;
};

/** Tells the partition's consumer that its letters were changed, and keeps it from storing until the transaction ends. */
export const bumpEpoch = async (client: Client, { topic, partition }: Place): Promise<void> => {
  await client.query('UPDATE transport.positions SET epoch = epoch + 1 WHERE topic = $1 AND partition = $2', [
    topic,
    partition,
  ]);
};
