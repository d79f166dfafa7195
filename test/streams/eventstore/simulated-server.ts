// A server that speaks as much of EventStoreDB's gRPC protocol as the adapter uses, in memory: what the client sends and
// takes is real, and so is the connection; how the server decides is written after its documentation (expected revisions,
// repetitions by event id). It is no EventStoreDB, and what passes here has yet to be run against one.
import { createRequire } from 'node:module';

const fromClient = createRequire(createRequire(import.meta.url).resolve('@eventstore/db-client'));
// Generated protocol code, which has types for clients only.
type Generated = ReturnType<typeof JSON.parse>;
const grpc: Generated = fromClient('@grpc/grpc-js');
const streamsPb: Generated = fromClient('../generated/streams_pb');
const streamsGrpc: Generated = fromClient('../generated/streams_grpc_pb');
const shared: Generated = fromClient('../generated/shared_pb');

export type ServerFault = 'refused' | 'cut-before-commit' | 'cut-after-commit';

export interface SimulatedServer extends AsyncDisposable {
  /** For the client; without TLS. */
  readonly url: string;
  /** What becomes of the next append to a stream of facts. */
  readonly fail: (fault: ServerFault) => void;
  /** Ends every subscription and read, as a connection that breaks. */
  readonly cut: () => void;
  /** Subscriptions that are open. */
  readonly subscriptions: () => number;
  readonly appends: () => number;
}

interface Stored {
  readonly stream: string;
  readonly revision: number;
  readonly position: number;
  readonly id: string;
  /** The message as it came. */
  readonly proposed: Generated;
}

interface State {
  readonly streams: Map<string, Stored[]>;
  readonly calls: Set<Generated>;
  readonly watchers: Set<(event: Stored) => void>;
  position: number;
  appends: number;
  fault: ServerFault | undefined;
}

export const simulatedServer = async (): Promise<SimulatedServer> => {
  const state: State = {
    streams: new Map(),
    calls: new Set(),
    watchers: new Set(),
    position: 0,
    appends: 0,
    fault: undefined,
  };
  const server = new grpc.Server({ 'grpc.max_receive_message_length': 32 << 20 });
  server.addService(streamsGrpc.StreamsService, {
    read: (call: Generated) => read(state, call),
    append: (call: Generated, answer: Generated) => append(state, call, answer),
    batchAppend: (call: Generated) => call.emit('error', status('UNIMPLEMENTED', 'the adapter uses append')),
    delete: (_call: Generated, answer: Generated) => answer(status('UNIMPLEMENTED', 'delete')),
    tombstone: (_call: Generated, answer: Generated) => answer(status('UNIMPLEMENTED', 'tombstone')),
  });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync(
      '127.0.0.1:0',
      grpc.ServerCredentials.createInsecure(),
      (error: unknown, bound: number) => (error ? reject(error) : resolve(bound)),
    ),
  );
  return {
    url: `esdb://127.0.0.1:${port}?tls=false&keepAliveInterval=-1`,
    fail: (fault) => {
      state.fault = fault;
    },
    cut: () => {
      for (const call of state.calls) call.emit('error', status('UNAVAILABLE', 'cut'));
      state.calls.clear();
    },
    subscriptions: () => state.watchers.size,
    appends: () => state.appends,
    [Symbol.asyncDispose]: async () => server.forceShutdown(),
  };
};

const status = (code: string, details: string): Error =>
  Object.assign(new Error(details), { code: grpc.status[code], details });

const nameOf = (identifier: Generated): string =>
  Buffer.from(identifier.getStreamName_asU8()).toString('utf8');

const append = (state: State, call: Generated, answer: Generated): void => {
  const requests: Generated[] = [];
  call.on('error', () => undefined);
  call.on('data', (request: Generated) => requests.push(request));
  call.on('end', () => {
    const options = requests[0].getOptions();
    const stream = nameOf(options.getStreamIdentifier());
    const events = requests.slice(1).map((request) => request.getProposedMessage());
    state.appends += 1;
    const fault = stream.includes('_facts-') ? state.fault : undefined;
    if (fault) state.fault = undefined;
    if (fault === 'refused') return answer(status('INVALID_ARGUMENT', 'refused'));
    if (fault === 'cut-before-commit') return answer(status('UNAVAILABLE', 'cut'));
    const response = decide(state, { stream, options, events });
    if (fault === 'cut-after-commit') return answer(status('UNAVAILABLE', 'cut'));
    answer(null, response);
  });
};

interface Appending {
  readonly stream: string;
  readonly options: Generated;
  readonly events: readonly Generated[];
}

const decide = (state: State, { stream, options, events }: Appending): Generated => {
  const stored = state.streams.get(stream) ?? [];
  const last = stored.length - 1;
  const expected = options.hasNoStream() ? -1 : options.hasAny() ? undefined : Number(options.getRevision());
  const at = expected ?? last;
  const ids = events.map((event) => event.getId().getString());
  const isRepetition = (from: number): boolean =>
    ids.length > 0 && ids.every((id, index) => stored[from + index]?.id === id);
  const known = expected === undefined ? stored.findIndex(({ id }) => id === ids[0]) : at + 1;
  if (known >= 0 && isRepetition(known)) return success(known + ids.length - 1);
  if (at !== last) return wrongVersion(last);
  for (const [index, proposed] of events.entries()) {
    state.position += 1;
    const event = {
      stream,
      revision: last + 1 + index,
      position: state.position,
      id: ids[index] ?? '',
      proposed,
    };
    stored.push(event);
    state.streams.set(stream, stored);
    for (const watch of state.watchers) watch(event);
  }
  return success(stored.length - 1);
};

const success = (revision: number): Generated => {
  const part = new streamsPb.AppendResp.Success();
  part.setCurrentRevision(String(revision));
  part.setNoPosition(new shared.Empty());
  const response = new streamsPb.AppendResp();
  response.setSuccess(part);
  return response;
};

const wrongVersion = (last: number): Generated => {
  const part = new streamsPb.AppendResp.WrongExpectedVersion();
  if (last < 0) part.setCurrentNoStream(new shared.Empty());
  else part.setCurrentRevision(String(last));
  const response = new streamsPb.AppendResp();
  response.setWrongExpectedVersion(part);
  return response;
};

const read = (state: State, call: Generated): void => {
  const options = call.request.getOptions();
  state.calls.add(call);
  call.on('error', () => undefined);
  call.once('cancelled', () => state.calls.delete(call));
  if (options.hasSubscription()) return subscribe(state, call, options);
  const of = options.getStream();
  const name = nameOf(of.getStreamIdentifier());
  const stored = state.streams.get(name);
  if (!stored) {
    const part = new streamsPb.ReadResp.StreamNotFound();
    part.setStreamIdentifier(of.getStreamIdentifier());
    const response = new streamsPb.ReadResp();
    response.setStreamNotFound(part);
    call.write(response);
  } else {
    const count = Number(options.getCount());
    const backwards = options.getReadDirection() === 1;
    const from = of.hasEnd() ? stored.length - 1 : Number(of.getRevision());
    const events = backwards ? stored.slice(0, from + 1).reverse() : stored.slice(from);
    for (const event of events.slice(0, count)) call.write(readResponse(event));
  }
  call.end();
  state.calls.delete(call);
};

const subscribe = (state: State, call: Generated, options: Generated): void => {
  const prefixes: string[] = options.getFilter().getStreamIdentifier().getPrefixList();
  const watch = (event: Stored): void => {
    if (prefixes.some((prefix) => event.stream.startsWith(prefix))) call.write(readResponse(event));
  };
  state.watchers.add(watch);
  const over = (): void => void state.watchers.delete(watch);
  call.once('cancelled', over);
  call.once('close', over);
  call.once('error', over);
  const part = new streamsPb.ReadResp.SubscriptionConfirmation();
  part.setSubscriptionId('one');
  const response = new streamsPb.ReadResp();
  response.setConfirmation(part);
  call.write(response);
};

const readResponse = ({ stream, revision, position, proposed }: Stored): Generated => {
  const recorded = new streamsPb.ReadResp.ReadEvent.RecordedEvent();
  recorded.setId(proposed.getId());
  const identifier = new shared.StreamIdentifier();
  identifier.setStreamName(Buffer.from(stream));
  recorded.setStreamIdentifier(identifier);
  recorded.setStreamRevision(String(revision));
  recorded.setPreparePosition(String(position));
  recorded.setCommitPosition(String(position));
  for (const [name, value] of proposed.getMetadataMap().entries()) recorded.getMetadataMap().set(name, value);
  recorded.getMetadataMap().set('created', '17637156000000000');
  recorded.setCustomMetadata(proposed.getCustomMetadata());
  recorded.setData(proposed.getData());
  const event = new streamsPb.ReadResp.ReadEvent();
  event.setEvent(recorded);
  event.setNoPosition(new shared.Empty());
  const response = new streamsPb.ReadResp();
  response.setEvent(event);
  return response;
};
