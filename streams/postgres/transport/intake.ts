// The intake: messages in, facts out, and the place in the topic, the fate of every message and the letters of those not
// taken, all in one transaction. So a crash, or a partition that moves to another consumer in the middle, neither loses
// a message nor takes one twice: either the position has moved and everything is there, or nothing has happened.
import type { TenantId } from '#schemas/ids.ts';
import type { AppendRequest } from '#streams/stream.ts';
import type { Client, Pool } from '../connect.ts';
import type { ClaimHolder, Fate, Together } from '../together.ts';
import { addFlow, type FlowCounts, noFlow } from './flow.ts';
import { type Gates, type Standings, standingsOf, throughGate } from './gates.ts';
import { insertLetters, type NewLetter } from './letters.ts';
import { keyText, type Message, messageHash, type Place, type Reading, stateOf } from './message.ts';
import {
  beginAnew,
  movePositions,
  openPosition,
  type Position,
  type PositionMove,
  readPosition,
} from './positions.ts';

export interface ReadMessage {
  readonly message: Message;
  readonly reading: Reading;
}

/** Messages of one partition in the order of their offsets, to be stored behind its position. */
export interface Piece extends Omit<PositionMove, 'last'> {
  readonly position: Position;
  readonly messages: readonly ReadMessage[];
}

export type PieceOutcome =
  | {
      readonly kind: 'stored';
      /** The position as it is now. */
      readonly position: Position;
      readonly counts: FlowCounts;
      readonly dead: number;
    }
  /** Another consumer has gone on from this position, letters were changed, or a gate has moved: read it again. */
  | { readonly kind: 'fenced' };

export interface Intake {
  /** Begun at `first` when the partition was never taken from. */
  readonly open: (place: Place, first: number) => Promise<Position>;
  readonly position: (place: Place) => Promise<Position | undefined>;
  /** Begun again at `low`: the topic was made anew since the position was found. */
  readonly beginAnew: (place: Place, found: Position, low: number) => Promise<Position>;
  /** The outcomes in the order of the pieces, which are of different partitions. Throws `StreamError`. */
  readonly commit: (pieces: readonly Piece[]) => Promise<readonly PieceOutcome[]>;
}

export interface IntakeOptions {
  readonly pool: Pool;
  readonly together: Together;
  readonly gates: Gates;
  /** The fact that records that a message's id stands for another request. */
  readonly noteConflict?: (message: Message, request: AppendRequest, first: ClaimHolder) => AppendRequest;
  readonly clock?: () => number;
}

export const postgresIntake = (options: IntakeOptions): Intake => {
  const { pool, together, gates } = options;
  // Whatever fenced a piece, it may have been a gate.
  let doubtful = false;
  const commit = async (pieces: readonly Piece[]): Promise<readonly PieceOutcome[]> => {
    const standings = await standingsOf(gates, requestsIn(pieces), doubtful);
    doubtful = false;
    const outcomes = await store(options, pieces, standings);
    if (outcomes) return outcomes;
    doubtful = true;
    if (pieces.length === 1) return [{ kind: 'fenced' }];
    // One of them is not ours any more, and nothing says which: each for itself.
    const alone: PieceOutcome[] = [];
    for (const piece of pieces) alone.push(...(await commit([piece])));
    return alone;
  };
  return {
    open: (place, first) => openPosition(pool, place, first),
    position: (place) => readPosition(pool, place),
    beginAnew: (place, found, low) => beginAnew(pool, place, { found, low }),
    commit: async (pieces) => {
      const tenants = new Set<TenantId>();
      for (const { tenant } of requestsIn(pieces)) tenants.add(tenant);
      const known = await together.known(tenants);
      return await commit(pieces.map((piece) => withoutUnknown(piece, known)));
    },
  };
};

const requestsIn = function* (pieces: readonly Piece[]): Generator<AppendRequest> {
  for (const { messages } of pieces)
    for (const { reading } of messages) if (reading.kind === 'append') yield reading.request;
};

const withoutUnknown = (piece: Piece, known: ReadonlySet<TenantId>): Piece => ({
  ...piece,
  messages: piece.messages.map(({ message, reading }) =>
    reading.kind === 'append' && !known.has(reading.request.tenant)
      ? {
          message,
          reading: {
            kind: 'aside',
            errorClass: 'no-such-tenant',
            error: `there is no tenant ${reading.request.tenant}: create it, then replay`,
          },
        }
      : { message, reading },
  ),
});

/** What is done with the messages of one piece: those that are appended, and those kept aside. */
interface Sorted {
  readonly piece: Piece & PositionMove;
  readonly requests: readonly AppendRequest[];
  readonly messages: readonly Message[];
  readonly letters: readonly NewLetter[];
  readonly heldKeys: ReadonlySet<string>;
}

const sorted = (piece: Piece, gates: Gates, standings: Standings): Sorted => {
  const { incarnation } = piece.position;
  const heldKeys = new Set(piece.position.heldKeys);
  const requests: AppendRequest[] = [];
  const messages: Message[] = [];
  const letters: NewLetter[] = [];
  for (const { message, reading: read } of piece.messages) {
    const reading = throughGate(gates, standings, read);
    const key = keyText(message.key);
    if (key !== undefined && heldKeys.has(key)) {
      const error = 'a message before it with the same key was not taken';
      letters.push({ message, state: 'held', errorClass: 'behind-another', error, incarnation });
    } else if (reading.kind === 'append') {
      requests.push(reading.request);
      messages.push(message);
    } else {
      const { errorClass, error, schemaId, waitsFor } = reading;
      const state = stateOf(errorClass);
      letters.push({ message, state, errorClass, error, schemaId, waitsFor, incarnation });
      if (key !== undefined) heldKeys.add(key);
    }
  }
  const end = piece.messages.at(-1);
  const last = end && messageHash(end.message);
  return { piece: { ...piece, last }, requests, messages, letters, heldKeys };
};

/** `undefined` when some piece is fenced, or a gate has moved. */
const store = async (
  { together, gates, noteConflict, clock = Date.now }: IntakeOptions,
  pieces: readonly Piece[],
  standings: Standings,
): Promise<readonly PieceOutcome[] | undefined> => {
  const all = pieces.map((piece) => sorted(piece, gates, standings));
  const at = clock();
  const messageOf = new Map(
    all.flatMap(({ requests, messages }) =>
      requests.map((request, index) => [request, messages[index] as Message] as const),
    ),
  );
  let outcomes: readonly PieceOutcome[] = [];
  const after = async (client: Client, fates: readonly Fate[]): Promise<void> => {
    outcomes = outcomesOf(all, fates);
    await insertLetters(
      client,
      all.flatMap(({ letters }) => letters),
      at,
    );
    await addFlow(
      client,
      all.map(({ piece: { topic, partition, messages } }, index) => {
        const outcome = outcomes[index];
        const counts = outcome?.kind === 'stored' ? outcome.counts : noFlow();
        return { topic, partition, at, received: messages.length, counts };
      }),
    );
  };
  const fates = await together.commit({
    requests: [...messageOf.keys()],
    expects: [...standings.values()],
    before: (client) =>
      movePositions(
        client,
        all.map(({ piece }) => piece),
      ),
    after,
    ...(noteConflict && {
      onTaken: (request, first) => {
        const message = messageOf.get(request);
        return message && noteConflict(message, request, first);
      },
    }),
  });
  return fates && outcomes;
};

const FLOW_OF: Readonly<
  Record<Exclude<Fate['kind'], 'no-such-tenant'>, 'accepted' | 'duplicate' | 'conflict'>
> = {
  appended: 'accepted',
  repeated: 'duplicate',
  'id-taken': 'conflict',
};

/** What a request's fate means for its message. */
export const flowOf = (fate: Fate): 'accepted' | 'duplicate' | 'conflict' => {
  // Tenants were looked up before, and never go away.
  if (fate.kind === 'no-such-tenant') throw new Error('a tenant that was there is gone');
  return FLOW_OF[fate.kind];
};

const outcomesOf = (all: readonly Sorted[], fates: readonly Fate[]): readonly PieceOutcome[] => {
  let at = 0;
  return all.map(({ piece, requests, letters, heldKeys }) => {
    const counts = noFlow();
    for (const fate of fates.slice(at, at + requests.length)) counts[flowOf(fate)] += 1;
    at += requests.length;
    const dead = letters.filter(({ state }) => state === 'dead').length;
    counts.dead_lettered = dead;
    counts.held = letters.length - dead;
    const position = { ...piece.position, next: piece.next, last: piece.last, heldKeys };
    return { kind: 'stored', position, counts, dead };
  });
};
