// Binary COPY in and out of one connection.
import { once } from 'node:events';
import type pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { COPY_HEADER, COPY_TRAILER } from './binary.ts';
import type { Client } from './connect.ts';

const HEADER_BYTES = COPY_HEADER.length;

/** The end of the data, and CopyDone. */
const DATA_END = Buffer.concat([COPY_TRAILER, Buffer.from([0x63, 0, 0, 0, 4])]);

export interface CopyIn {
  /** E.g. `ledger.facts (seq, …)`. */
  readonly target: string;
  /** In binary form, without header and trailer. */
  readonly rows: Uint8Array;
  /** A statement without a result, run behind the COPY: outside a transaction block the two are one transaction. */
  readonly behind?: string;
}

/** Sends rows into a table; resolves when the server has taken them all. */
export const copyIn = (client: Client, { target, rows, behind }: CopyIn): Promise<void> => {
  const text = `COPY ${target} FROM STDIN (FORMAT binary)${behind === undefined ? '' : `; ${behind}`}`;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const nothing = (): void => undefined;
  client.query({
    text,
    submit: (connection: pg.Connection) => send(connection, text, rows),
    handleCopyInResponse: nothing,
    handleCommandComplete: nothing,
    handleReadyForQuery: () => resolve(),
    handleError: reject,
  });
  return promise;
};

/**
 * The statement and its data in one write, without waiting for the word that the server is ready to copy: that would
 * cost each commit a round trip and three system calls. When the server refuses the statement, or gives up in the
 * midst of it, it drops the data that still arrives (PostgreSQL, "Message Flow", COPY Operations).
 */
const send = (connection: pg.Connection, text: string, rows: Uint8Array): void => {
  const { stream } = connection;
  const data = Buffer.alloc(5 + HEADER_BYTES);
  data.write('d', 0, 'latin1');
  data.writeInt32BE(4 + HEADER_BYTES + rows.byteLength + COPY_TRAILER.length, 1);
  COPY_HEADER.copy(data, 5);
  stream.cork();
  connection.query(text);
  stream.write(data);
  stream.write(rows);
  stream.write(DATA_END);
  stream.uncork();
};

/**
 * Runs `COPY (query) TO STDOUT` and yields, for each chunk that arrives, the whole rows in it: a buffer and the
 * offset behind each row's field count. A row is valid until the next one is asked for. Who stops before the end has no
 * use of the connection any more: what is still on its way would have to be read first, and may be a whole history.
 */
export const copyOut = async function* (
  client: Client,
  query: string,
): AsyncGenerator<{ readonly bytes: Buffer; readonly rows: readonly number[] }> {
  const stream = client.query(
    copyTo(`COPY (${query}) TO STDOUT (FORMAT binary)`, { highWaterMark: 1 << 20 }),
  );
  let rest: Buffer | undefined;
  let headerSeen = false;
  let over = false;
  // Loss of the connection is told once more when nobody reads any longer.
  stream.on('error', () => {
    over = true;
  });
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      const bytes: Buffer = rest ? Buffer.concat([rest, chunk]) : chunk;
      let at = 0;
      if (!headerSeen) {
        if (bytes.length < HEADER_BYTES) {
          rest = bytes;
          continue;
        }
        headerSeen = true;
        at = HEADER_BYTES;
      }
      const { rows, end } = wholeRows(bytes, at);
      rest = end < bytes.length ? bytes.subarray(end) : undefined;
      if (rows.length > 0) yield { bytes, rows };
    }
    over = true;
  } finally {
    stream.destroy();
    if (!over) await cut(client);
  }
};

/** Runs `COPY (query) TO STDOUT` with these options of a text form, and yields what the server sends, as it comes. */
export const copyText = async function* (
  client: Client,
  query: string,
  options: string,
): AsyncGenerator<Buffer> {
  const stream = client.query(copyTo(`COPY (${query}) TO STDOUT (${options})`, { highWaterMark: 1 << 20 }));
  let over = false;
  stream.on('error', () => {
    over = true;
  });
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) yield chunk;
    over = true;
  } finally {
    stream.destroy();
    if (!over) await cut(client);
  }
};

const cut = async (client: Client): Promise<void> => {
  const ended = once(client, 'end');
  (client as unknown as { readonly connection: pg.Connection }).connection.stream.destroy();
  await ended;
};

/** Offsets behind the field count of each complete row from `start`; `end` is where the first incomplete one begins. */
const wholeRows = (
  bytes: Buffer,
  start: number,
): { readonly rows: readonly number[]; readonly end: number } => {
  const rows: number[] = [];
  let at = start;
  while (at + 2 <= bytes.length) {
    const fields = bytes.readInt16BE(at);
    if (fields === -1) return { rows, end: bytes.length };
    let next = at + 2;
    let field = 0;
    for (; field < fields; field += 1) {
      if (next + 4 > bytes.length) break;
      const length = bytes.readInt32BE(next);
      next += 4 + Math.max(length, 0);
    }
    if (field < fields || next > bytes.length) break;
    rows.push(at + 2);
    at = next;
  }
  return { rows, end: at };
};
