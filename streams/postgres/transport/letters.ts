// Letters: messages that could not be taken and those held behind them, as rows.
import { type Client, type Pool, type Queryable, transaction } from '../connect.ts';
import { revisionKey, type StreamKey } from '../reader.ts';
import type { ErrorClass, Message, Place } from './message.ts';

export interface NewLetter {
  readonly message: Message;
  readonly state: 'dead' | 'held';
  readonly errorClass: ErrorClass;
  readonly error: string;
  readonly schemaId?: number | undefined;
  readonly waitsFor?: StreamKey | undefined;
  /** Of the partition that it came over. */
  readonly incarnation: number;
}

/** What a letter's error is cut to: it may quote the message. */
const ERROR_MAX = 1_000;

// PostgreSQL's text holds no NUL.
export const errorText = (error: string): string =>
  error.replaceAll('\0', '\uFFFD').toWellFormed().slice(0, ERROR_MAX);

const headersJson = ({ headers }: Message): string =>
  JSON.stringify(
    headers.map(([name, value]) => [name.replaceAll('\0', '').toWellFormed(), value.toString('base64')]),
  );

export const insertLetters = async (
  client: Client,
  letters: readonly NewLetter[],
  receivedAt: number,
): Promise<void> => {
  if (letters.length === 0) return;
  const of = <T>(pick: (letter: NewLetter) => T): readonly T[] => letters.map(pick);
  await client.query({
    name: 'insert_letters',
    text: `INSERT INTO transport.letters (topic, partition, message_offset, key, value, headers, sent_at, received_at,
        state, error_class, error, schema_id, waits_for,
        incarnation)
      SELECT l.topic, l.partition, l.message_offset, l.key, l.value, l.headers, to_timestamp(l.sent_ms / 1000.0), $9,
        l.state, l.error_class, l.error, l.schema_id, l.waits_for, l.incarnation
      FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bytea[], $5::bytea[], $6::jsonb[], $7::bigint[],
        $8::text[], $10::text[], $11::text[], $12::bigint[], $13::text[], $14::int[])
        AS l (topic, partition, message_offset, key, value, headers, sent_ms, state, error_class, error, schema_id,
          waits_for, incarnation)`,
    values: [
      of(({ message }) => message.topic),
      of(({ message }) => message.partition),
      of(({ message }) => message.offset),
      of(({ message }) => message.key),
      of(({ message }) => message.value),
      of(({ message }) => headersJson(message)),
      of(({ message }) => Math.max(0, Math.trunc(message.sentAt))),
      of(({ state }) => state),
      new Date(receivedAt),
      of(({ errorClass }) => errorClass),
      of(({ error }) => errorText(error)),
      of(({ schemaId }) => schemaId),
      of(({ waitsFor }) => waitsFor && revisionKey(waitsFor)),
      of(({ incarnation }) => incarnation),
    ],
  });
};

export interface Letter extends Message {
  readonly letter: number;
  readonly state: 'dead' | 'held' | 'settled' | 'discarded';
  readonly errorClass: ErrorClass;
  readonly error: string;
  readonly schemaId: number | undefined;
  readonly outcome: 'accepted' | 'duplicate' | 'conflict' | undefined;
  readonly receivedAt: number;
  readonly settledAt: number | undefined;
}

interface LetterRow {
  readonly letter: number;
  readonly topic: string;
  readonly partition: number;
  readonly message_offset: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly (readonly [string, string])[];
  readonly sent_at: Date;
  readonly received_at: Date;
  readonly state: Letter['state'];
  readonly error_class: ErrorClass;
  readonly error: string;
  readonly schema_id: number | null;
  readonly outcome: Letter['outcome'] | null;
  readonly settled_at: Date | null;
}

const letterOf = (row: LetterRow): Letter => ({
  letter: row.letter,
  topic: row.topic,
  partition: row.partition,
  offset: row.message_offset,
  key: row.key ?? undefined,
  value: row.value ?? undefined,
  headers: row.headers.map(([name, value]) => [name, Buffer.from(value, 'base64')] as const),
  sentAt: row.sent_at.getTime(),
  receivedAt: row.received_at.getTime(),
  state: row.state,
  errorClass: row.error_class,
  error: row.error,
  schemaId: row.schema_id ?? undefined,
  outcome: row.outcome ?? undefined,
  settledAt: row.settled_at?.getTime(),
});

export interface LetterFilter {
  readonly topic?: string | undefined;
  readonly states?: readonly Letter['state'][] | undefined;
  readonly errorClass?: ErrorClass | undefined;
  /** Those behind this letter. */
  readonly after?: number;
  readonly limit: number;
}

/** The oldest first. */
export const listLetters = async (
  client: Queryable,
  { topic, states, errorClass, after = 0, limit }: LetterFilter,
): Promise<readonly Letter[]> => {
  const { rows } = await client.query<LetterRow>(
    `SELECT * FROM transport.letters
      WHERE letter > $1 AND ($2::text IS NULL OR topic = $2) AND ($3::text[] IS NULL OR state = ANY ($3))
        AND ($4::text IS NULL OR error_class = $4) ORDER BY letter LIMIT $5`,
    [after, topic ?? null, states ? [...states] : null, errorClass ?? null, limit],
  );
  return rows.map(letterOf);
};

export const findLetter = async (client: Queryable, letter: number): Promise<Letter | undefined> => {
  const { rows } = await client.query<LetterRow>('SELECT * FROM transport.letters WHERE letter = $1', [
    letter,
  ]);
  return rows[0] && letterOf(rows[0]);
};

/** The open letters of one key from an offset on, in the order in which they came. */
export const openLettersOf = async (
  client: Queryable,
  { topic, partition, key }: Place & { readonly key: Buffer },
  limit: number,
): Promise<readonly Letter[]> => {
  const { rows } = await client.query<LetterRow>(
    `SELECT * FROM transport.letters WHERE topic = $1 AND partition = $2 AND key = $3 AND state IN ('dead', 'held')
      ORDER BY incarnation, message_offset LIMIT $4`,
    [topic, partition, key, limit],
  );
  return rows.map(letterOf);
};

/** The keys that have open letters: what comes with one of them is held. */
export const openKeys = async (
  client: Queryable,
  { topic, partition }: Place,
): Promise<ReadonlySet<string>> => {
  const { rows } = await client.query<{ key: Buffer }>(
    `SELECT DISTINCT key FROM transport.letters
      WHERE topic = $1 AND partition = $2 AND key IS NOT NULL AND state IN ('dead', 'held')`,
    [topic, partition],
  );
  return new Set(rows.map(({ key }) => key.toString('latin1')));
};

/** Dead letters that were not sent to their topic's `.dlq` yet, the oldest first. */
export const unpublishedLetters = async (
  client: Queryable,
  topic: string,
  limit: number,
): Promise<readonly Letter[]> => {
  const { rows } = await client.query<LetterRow>(
    `SELECT * FROM transport.letters WHERE topic = $1 AND state = 'dead' AND NOT published ORDER BY letter LIMIT $2`,
    [topic, limit],
  );
  return rows.map(letterOf);
};

/** Does the work unless another process is at the same for this topic, which would send every letter twice. */
export const unlessAnother = <T>(pool: Pool, topic: string, work: () => Promise<T>): Promise<T | undefined> =>
  transaction(pool, async (client) => {
    const { rows } = await client.query<{ alone: boolean }>(
      `SELECT pg_try_advisory_xact_lock(hashtextextended('letters of ' || $1, 0)) AS alone`,
      [topic],
    );
    return rows[0]?.alone ? await work() : undefined;
  });

export const markPublished = async (client: Queryable, letters: readonly number[]): Promise<void> => {
  await client.query('UPDATE transport.letters SET published = true WHERE letter = ANY ($1)', [[...letters]]);
};

/** Letters that wait for the registry and for no other letter, the oldest first. */
export const waitingForRegistry = async (client: Queryable, limit: number): Promise<readonly Letter[]> => {
  const { rows } = await client.query<LetterRow>(
    `SELECT * FROM transport.letters WHERE state = 'held' AND error_class = 'registry-away' ORDER BY letter LIMIT $1`,
    [limit],
  );
  return rows.map(letterOf);
};

/**
 * The open letters of the keys that wait for a gate (`revisionKey`), and those of no key, in the order in which they
 * came.
 */
export const lettersBehind = async (
  client: Queryable,
  { topic, partition, gate }: Place & { readonly gate: string },
  limit: number,
): Promise<readonly Letter[]> => {
  const { rows } = await client.query<LetterRow>(
    `WITH first AS MATERIALIZED (SELECT letter, key FROM transport.letters
        WHERE waits_for = $3 AND topic = $1 AND partition = $2 AND state = 'held'
        ORDER BY incarnation, message_offset LIMIT $4)
      SELECT * FROM (
        SELECT l.* FROM first f JOIN transport.letters l USING (letter) WHERE f.key IS NULL
        UNION ALL
        SELECT l.* FROM (SELECT DISTINCT key FROM first WHERE key IS NOT NULL) f JOIN transport.letters l USING (key)
          WHERE l.topic = $1 AND l.partition = $2 AND l.state IN ('dead', 'held')
      ) AS letters ORDER BY incarnation, message_offset LIMIT $4`,
    [topic, partition, gate, limit],
  );
  return rows.map(letterOf);
};

/** The first of each key that is still held waits for the gate that those before it waited for. */
export const handOn = async (
  client: Queryable,
  { topic, partition, gate }: Place & { readonly gate?: string },
  keys: readonly Buffer[],
): Promise<void> => {
  await client.query(
    `UPDATE transport.letters l SET waits_for = $4 FROM unnest($3::bytea[]) AS k (key) CROSS JOIN LATERAL (
        SELECT letter FROM transport.letters n WHERE n.topic = $1 AND n.partition = $2 AND n.key = k.key
          AND n.state IN ('dead', 'held') ORDER BY n.incarnation, n.message_offset LIMIT 1) AS next
      WHERE l.letter = next.letter AND l.state = 'held' AND l.waits_for IS NULL`,
    [topic, partition, keys, gate],
  );
};

/** How many letters of a topic are open, by what is wrong with them. */
export interface OpenLetters {
  readonly topic: string;
  readonly state: 'dead' | 'held';
  readonly errorClass: ErrorClass;
  readonly letters: number;
}

export const countOpenLetters = async (client: Queryable): Promise<readonly OpenLetters[]> => {
  const { rows } = await client.query<OpenLetters>(
    `SELECT topic, state, error_class AS "errorClass", count(*)::bigint AS letters FROM transport.letters
      WHERE state IN ('dead', 'held') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`,
  );
  return rows;
};
