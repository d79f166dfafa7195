// A server that says nothing any more: paused, overloaded beyond use, or behind a network that drops its packets without
// a word. TCP by itself waits for many minutes; a query must not.
import type pg from 'pg';

/** The part of a socket of Node, plain or under TLS, that is needed here. */
interface Line {
  /** What waits to be sent is counted. */
  readonly bytesWritten: number;
  setTimeout(ms: number): unknown;
  on(event: 'timeout', listener: () => void): unknown;
  destroy(error: Error): unknown;
}

/**
 * Cuts the connection when bytes went out and for so many milliseconds none moved in either direction. Its queries then
 * fail as those of a lost connection do. One on which nobody waits (idle, or listening) is left alone.
 */
export const cutWhenSilent = (client: pg.PoolClient, silenceMs: number): void => {
  const { stream } = (client as unknown as { readonly connection: { readonly stream: Line } }).connection;
  // Everything written so far is answered: the connection is new, or the driver has no query left.
  let answered = stream.bytesWritten;
  client.on('drain', () => {
    answered = stream.bytesWritten;
  });
  stream.setTimeout(silenceMs);
  // Not as an argument of setTimeout: that one is called once, and an idle connection has used it up.
  stream.on('timeout', () => {
    if (stream.bytesWritten === answered) return;
    const failure = new Error(`no answer for ${silenceMs / 1_000} s`);
    stream.destroy(Object.assign(failure, { code: 'ETIMEDOUT' }));
  });
};
