// A long text that is read while it is sent. A client that takes slowly makes the reading slow, one that leaves ends
// it; a token that is revoked, and a store that fails, cut the answer off: what came without its end is not whole.
import { Readable } from 'node:stream';
import type { Verdict } from './auth.ts';
import type { Call } from './route.ts';

export interface StreamedParts {
  /** Asked again before each piece: a revoked token reads no further. */
  readonly stillMay: (authorization: string | undefined) => Verdict | Promise<Verdict>;
  readonly fault: (error: unknown, requestId: string) => void;
}

/** Ends an answer that must not go on; it is no fault of ours. */
class CutOff extends Error {}

export const streamed = (parts: StreamedParts, call: Call, pieces: AsyncIterable<string>): Readable =>
  Readable.from(whilePermitted(parts, call, pieces), { objectMode: false });

const whilePermitted = async function* (
  { stillMay, fault }: StreamedParts,
  { headers, requestId }: Call,
  pieces: AsyncIterable<string>,
): AsyncGenerator<string> {
  let begun = false;
  try {
    for await (const piece of pieces) {
      const verdict = begun ? await stillMay(headers['authorization'] as string | undefined) : undefined;
      if (verdict && 'problem' in verdict) throw new CutOff(verdict.problem.code);
      begun = true;
      yield piece;
    }
  } catch (error) {
    // Before the first piece the framework answers with a problem, and tells of the error itself.
    if (begun && !(error instanceof CutOff)) fault(error, requestId);
    throw error;
  }
};
