// The one way to an EventStoreDB: append with an expected revision, read a range, watch. And what its errors mean to a
// store. The client (@eventstore/db-client 6.2.1) is used so that none of these is met:
//   - appends go by one call each, which giving credentials brings about: its shared batch stream fails the appends of
//     every client in the process when one connection breaks, and then throws where nobody can catch it when a late
//     answer comes (dist/streams/appendToStream/batchAppend.js, `promiseBank`);
//   - a stream of reads or of news always has a listener for errors, since it emits and does not destroy itself, and
//     is cancelled when it is left early: unpiping alone leaves the call open (dist/streams/utils/ReadStream.js);
//   - reads and appends ask for the leader: a follower may not know yet what was acknowledged.
import {
  BACKWARDS,
  type Credentials,
  END,
  ErrorType,
  type EventData,
  EventStoreDBClient,
  FORWARDS,
  isCommandError,
  NO_STREAM,
  type RecordedEvent,
  WrongExpectedVersionError,
} from '@eventstore/db-client';
import { StreamError } from '#streams/errors.ts';

export interface EventStoreOptions {
  /** `esdb://user:password@host:2113`, or `esdb+discover://…`; TLS unless `?tls=false`, its CA by `tlsCaFile`. */
  readonly url: string;
  /** What the names of this ledger's streams begin with, so that several share a server; `prov_ledger` unless told. */
  readonly prefix?: string;
}

export interface EventStore extends AsyncDisposable {
  readonly client: EventStoreDBClient;
  readonly credentials: Credentials;
  readonly streams: StreamNames;
}

/** Where a ledger's facts stand. A tenant's name has no capital and no `$`, so no stream is a system stream. */
export interface StreamNames {
  readonly identity: string;
  /** One event for each tenant that was ever opened, or was about to be. */
  readonly tenants: string;
  readonly chainPrefix: string;
  readonly chain: (tenant: string) => string;
}

const PREFIX = /^[a-z][a-z0-9_]{0,31}$/;

export const streamNames = (prefix: string): StreamNames => {
  if (!PREFIX.test(prefix))
    throw new TypeError(
      `the prefix ${JSON.stringify(prefix)} of an EventStoreDB ledger: use 1 to 32 of a-z, 0-9 and _, a letter first`,
    );
  const chainPrefix = `${prefix}_facts-`;
  return {
    identity: `${prefix}-identity`,
    tenants: `${prefix}-tenants`,
    chainPrefix,
    chain: (tenant) => `${chainPrefix}${tenant}`,
  };
};

/** Throws `TypeError` on an address that cannot be one. Connects at the first call, and again whenever it must. */
export const connect = ({ url, prefix = 'prov_ledger' }: EventStoreOptions): EventStore => {
  const streams = streamNames(prefix);
  const credentials = credentialsOf(url);
  let client: EventStoreDBClient;
  try {
    client = EventStoreDBClient.connectionString(url);
  } catch (cause) {
    // Its message repeats the address, password and all.
    throw new TypeError('the address of EventStoreDB is malformed: give esdb://user:password@host:2113', {
      cause,
    });
  }
  return { client, credentials, streams, [Symbol.asyncDispose]: () => client.dispose() };
};

/** Of a server without TLS nobody is asked who he is, and the client sends none of these. */
const NOBODY: Credentials = { username: 'nobody', password: 'none' };

const credentialsOf = (url: string): Credentials => {
  const found = /^esdb(?:\+discover)?:\/\/([^:@/]+):([^@]+)@/.exec(url.trim());
  if (found)
    return {
      username: decodeURIComponent(found[1] ?? ''),
      password: decodeURIComponent(found[2] ?? ''),
    };
  if (/[?&]tls=false(&|$)/i.test(url)) return NOBODY;
  throw new TypeError(
    'the address of EventStoreDB has no user: give esdb://user:password@host:2113, or ?tls=false',
  );
};

export type Appending = { readonly kind: 'appended' } | { readonly kind: 'lost' };

const APPEND_WITHIN_MS = 10_000;
const EVENT_WITHIN_MS = 20;

/** `after` is the revision of the stream's last event, -1 when it has none. Throws as the client does. */
export const appendEvents = async (
  { client, credentials }: EventStore,
  stream: string,
  { after, events }: { readonly after: number; readonly events: readonly EventData[] },
): Promise<Appending> => {
  try {
    await client.appendToStream(stream, [...events], {
      expectedRevision: after < 0 ? NO_STREAM : BigInt(after),
      credentials,
      requiresLeader: true,
      // Each event is a message of its own: a thousand of them take their time.
      deadline: APPEND_WITHIN_MS + events.length * EVENT_WITHIN_MS,
    });
    return { kind: 'appended' };
  } catch (error) {
    if (error instanceof WrongExpectedVersionError) return { kind: 'lost' };
    throw error;
  }
};

export interface Range {
  readonly from: number;
  readonly count: number;
}

/** In the order of revisions, `count` at most; none where the stream does not exist. Throws `StreamError`. */
export const readEvents = async (
  store: EventStore,
  stream: string,
  { from, count }: Range,
): Promise<readonly RecordedEvent[]> =>
  await reading(store, stream, { direction: FORWARDS, fromRevision: BigInt(from), maxCount: count });

/** `undefined` where the stream has none. */
export const lastEvent = async (store: EventStore, stream: string): Promise<RecordedEvent | undefined> =>
  (await reading(store, stream, { direction: BACKWARDS, fromRevision: END, maxCount: 1 }))[0];

type Direction = NonNullable<Parameters<EventStoreDBClient['readStream']>[1]>;

/** A leader that is just being elected is asked again so often. */
const READS = 4;

const reading = async (
  store: EventStore,
  stream: string,
  direction: Direction,
): Promise<readonly RecordedEvent[]> => {
  for (let read = 1; ; read += 1)
    try {
      return await readOnce(store, stream, direction);
    } catch (error) {
      if (typeOf(error) === ErrorType.STREAM_NOT_FOUND) return [];
      if (typeOf(error) !== ErrorType.NOT_LEADER || read === READS) throw eventStoreError(error);
    }
};

const readOnce = async (
  { client, credentials }: EventStore,
  stream: string,
  direction: Direction,
): Promise<readonly RecordedEvent[]> => {
  const events = client.readStream(stream, { ...direction, credentials, requiresLeader: true });
  events.on('error', () => undefined);
  const list: RecordedEvent[] = [];
  let whole = false;
  try {
    for await (const { event } of events) if (event) list.push(event);
    whole = true;
    return list;
  } finally {
    if (!whole) await events.cancel().catch(() => undefined);
  }
};

const AWAY: ReadonlySet<string> = new Set([
  ErrorType.TIMEOUT,
  ErrorType.DEADLINE_EXCEEDED,
  ErrorType.UNAVAILABLE,
  ErrorType.CANCELLED,
  ErrorType.NOT_LEADER,
]);

const typeOf = (error: unknown): ErrorType | undefined =>
  error instanceof Error && isCommandError(error) ? error.type : undefined;

/** Whether the server was not reached, or its answer was not: an append may have been stored or not. */
export const isConnectionFailure = (error: unknown): boolean => {
  if (error instanceof StreamError) return error.code === 'unavailable';
  const type = typeOf(error);
  if (type !== undefined) return AWAY.has(type);
  return error instanceof Error && /Failed to discover|failed to connect|ECONNREFUSED/i.test(error.message);
};

/** Gives an error of the client its place in the closed union of `StreamError`. */
export const eventStoreError = (error: unknown): StreamError => {
  if (error instanceof StreamError) return error;
  const cause = error instanceof Error ? error : new Error(String(error));
  if (isConnectionFailure(error))
    return new StreamError('unavailable', `EventStoreDB cannot be reached: ${cause.message}`, { cause });
  switch (typeOf(error)) {
    case ErrorType.ACCESS_DENIED:
      return new StreamError('forbidden', `EventStoreDB refused: ${cause.message}`, { cause });
    case ErrorType.STREAM_DELETED:
      return new StreamError('corrupt', `a stream of the ledger was deleted: ${cause.message}`, { cause });
    case ErrorType.MAXIMUM_APPEND_SIZE_EXCEEDED:
      return new StreamError(
        'unexpected',
        `an append is larger than EventStoreDB takes: raise its MaxAppendSize (${cause.message})`,
        { cause },
      );
    default:
      return new StreamError('unexpected', `EventStoreDB answered: ${cause.message}`, { cause });
  }
};
