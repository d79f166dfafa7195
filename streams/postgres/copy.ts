// Binary COPY in and out of one connection.
import { finished } from 'node:stream/promises';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { COPY_HEADER, COPY_TRAILER } from './binary.ts';
import type { Client } from './connect.ts';

export interface CopyIn {
  /** E.g. `ledger.facts (seq, …)`. */
  readonly target: string;
  /** In binary form, without header and trailer. */
  readonly rows: Uint8Array;
  /** A statement without a result, run behind the COPY: outside a transaction block the two are one transaction. */
  readonly behind?: string;
}

/** Sends rows into a table; resolves when the server has taken them all. */
export const copyIn = async (client: Client, { target, rows, behind }: CopyIn): Promise<void> => {
  const text = `COPY ${target} FROM STDIN (FORMAT binary)${behind === undefined ? '' : `; ${behind}`}`;
  const stream = client.query(copyFrom(text));
  // One write: each is a system call, and small batches are sent by the hundred.
  stream.end(Buffer.concat([COPY_HEADER, rows, COPY_TRAILER]));
  await finished(stream);
};

const HEADER_BYTES = COPY_HEADER.length;

/**
 * Runs `COPY (query) TO STDOUT` and yields, for each chunk that arrives, the whole rows in it: a buffer and the
 * offset behind each row's field count. A row is valid until the next one is asked for.
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
  } finally {
    stream.destroy();
  }
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
