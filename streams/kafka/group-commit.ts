// Pieces of many partitions that wait for their commit: one is on its way, the next takes all that came meanwhile. There
// is no timer: a quiet topic is stored at once, busy ones with one sync and one signature for all their partitions.
import type { Intake, Piece, PieceOutcome } from '#streams/postgres/transport/intake.ts';

export interface GroupCommit {
  /** Resolves once the piece is durable, or known to be fenced. Rejects as the intake does. */
  readonly add: (piece: Piece) => Promise<PieceOutcome>;
}

interface Waiting {
  readonly piece: Piece;
  readonly settle: (outcome: PieceOutcome) => void;
  readonly fail: (error: unknown) => void;
}

/** Messages in one commit at most, unless a single piece has more. */
const MESSAGES_MAX = 20_000;

export const groupCommit = (intake: Pick<Intake, 'commit'>): GroupCommit => {
  let queue: Waiting[] = [];
  let running = false;
  const run = async (): Promise<void> => {
    running = true;
    // Handlers resumed by the last commit may each bring their next piece in this turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    while (queue.length > 0) {
      const batch = takeFrom(queue);
      queue = queue.slice(batch.length);
      try {
        const outcomes = await intake.commit(batch.map(({ piece }) => piece));
        for (const [index, { settle }] of batch.entries()) settle(outcomes[index] as PieceOutcome);
      } catch (error) {
        for (const { fail } of batch) fail(error);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    running = false;
  };
  return {
    add: (piece) =>
      new Promise((settle, fail) => {
        queue.push({ piece, settle, fail });
        if (!running) void run();
      }),
  };
};

const takeFrom = (queue: readonly Waiting[]): readonly Waiting[] => {
  let messages = 0;
  const end = queue.findIndex(({ piece }, index) => {
    messages += piece.messages.length;
    return index > 0 && messages > MESSAGES_MAX;
  });
  return end === -1 ? queue : queue.slice(0, end);
};
