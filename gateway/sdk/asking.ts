// One question asked until it has an answer: again while that may help, never past the deadline or the caller's signal.
import { ClientError } from './errors.ts';
import { pause, type RetryOptions, waitMs } from './retry.ts';
import type { GetOutcome } from './transport.ts';

export const DEADLINE_MS = 30_000;

export interface AskOptions {
  readonly retry: RetryOptions;
  readonly signal?: AbortSignal | undefined;
}

/** Rejects with ClientError. `ask` is told how long a try may take. */
export const askUntilAnswered = async (
  ask: (timeoutMs: number) => Promise<GetOutcome>,
  { retry, signal }: AskOptions,
): Promise<unknown> => {
  const deadline = Date.now() + (retry.deadlineMs ?? DEADLINE_MS);
  for (let attempt = 1; ; attempt += 1) {
    if (signal?.aborted) throw abortedBy(signal);
    const got = await ask(Math.max(1, deadline - Date.now()));
    if (got.kind === 'found') return got.document;
    if (signal?.aborted) throw abortedBy(signal);
    const wait = got.kind === 'again' ? waitMs(attempt, retry, jitter(got.afterMs)) : 0;
    if (got.kind === 'final' || Date.now() + wait >= deadline) throw got.error;
    await pause(wait, signal);
  }
};

export const jitter = (afterMs: number) => ({ afterMs, random: Math.random() });

export const abortedBy = ({ reason }: AbortSignal, receiptId?: string): ClientError =>
  new ClientError('aborted', 'the caller gave up', { cause: reason, receiptId });
