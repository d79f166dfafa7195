// One try of one request: what the service answers, as values. Whether and when to try again is for retry.ts.
import { ClientError, type ClientErrorCode } from './errors.ts';
import { retryAfterMs } from './retry-after.ts';
import { timeoutSignal } from './timeout.ts';
import type { ProblemDocument, RecordedReceipt } from './types.ts';

/** `again`: it was not recorded, or it is not known; the same request may succeed later. */
export type Outcome<R = RecordedReceipt> =
  | { readonly kind: 'recorded'; readonly receipt: R }
  | { readonly kind: 'final'; readonly error: ClientError }
  | {
      readonly kind: 'again';
      readonly error: ClientError;
      /** What the service asked for in Retry-After. */
      readonly afterMs: number;
    };

export interface TransportOptions {
  /** The service, for example https://ledger.example; a path in it is kept. */
  readonly url: string;
  /** The token, or what gives one: asked before each request, so that it may be renewed. */
  readonly token: string | (() => string | Promise<string>);
  /** The platform's unless given. */
  readonly fetch?: typeof globalThis.fetch;
  /** One try, in milliseconds: 10,000 unless given. */
  readonly requestTimeoutMs?: number;
}

export interface Sending {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  readonly traceparent?: string | undefined;
}

/** What takes receipts to the ledger; `R` is what is known of one that was taken. */
export interface Carrier<R> {
  /** The outcomes of these receipts, each the JSON text of one, in their order. Never rejects. */
  post(receipts: readonly string[], sending: Sending): Promise<readonly Outcome<R>[]>;
}

export interface Transport extends Carrier<RecordedReceipt> {
  /** A JSON document. Rejects with ClientError; `again` says whether another try may help. */
  get(path: string, sending: Sending): Promise<GetOutcome>;
  /** The answer to a JSON document that is sent; with the same key it has been sent once. */
  send(path: string, document: object, sending: Sending & { readonly key: string }): Promise<GetOutcome>;
  /** The same where it is another than that of this tag (If-None-Match). */
  getChanged(path: string, etag: string | undefined, sending: Sending): Promise<ChangedOutcome>;
}

export type GetOutcome =
  | { readonly kind: 'found'; readonly document: unknown }
  | Exclude<Outcome, { readonly kind: 'recorded' }>;

export type ChangedOutcome =
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'found'; readonly document: unknown; readonly etag: string | undefined }
  | Exclude<GetOutcome, { readonly kind: 'found' }>;

const AGAIN = new Set([408, 425, 429, 500, 502, 503, 504, 507]);
/** Repeating cannot mend these, whatever their status. */
const NEVER_AGAIN = new Set(['store-corrupt']);

export const transport = (options: TransportOptions): Transport => {
  const base = options.url.replace(/\/+$/, '');
  if (!/^https?:\/\//.test(base) || !URL.canParse(base))
    throw new TypeError(`url must be the address of the service, for example https://ledger.example`);
  const { requestTimeoutMs = 10_000 } = options;
  const fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init));

  const request = async <T>(
    path: string,
    of: RequestOf,
    read: (answer: Response) => Promise<T>,
  ): Promise<T> => {
    const { token } = options;
    const timeout = timeoutSignal(Math.min(requestTimeoutMs, of.timeoutMs ?? requestTimeoutMs), of.signal);
    try {
      const sending = fetch(base + path, {
        method: of.body === undefined ? 'GET' : 'POST',
        headers: headersOf(typeof token === 'string' ? token : await token(), of),
        ...(of.body !== undefined && { body: of.body }),
        signal: timeout.signal,
        redirect: 'error',
      });
      // Raced as well as told: the deadline holds with a fetch that does not heed its signal.
      return await Promise.race([sending.then(read), timeout.fired]);
    } finally {
      timeout.clear();
    }
  };

  const found = async <T>(path: string, of: RequestOf, read: (answer: Response) => Promise<T>) => {
    try {
      return await request(path, of, read);
    } catch (cause) {
      return again('the service could not be reached', cause);
    }
  };

  return {
    post: async (receipts, sending) => {
      const results: (Outcome | undefined)[] = receipts.map(() => undefined);
      const rest = (outcome: Outcome): readonly Outcome[] => results.map((result) => result ?? outcome);
      try {
        return await request(
          '/receipts',
          { ...sending, body: `${receipts.join('\n')}\n` },
          async (answer) => {
            if (answer.status !== 200 || answer.body === null) return rest(await failure(answer));
            // Results count as they arrive: a cut connection takes back none that was read.
            for await (const line of linesOf(answer.body)) takeResult(results, line);
            return rest(again('the answer ended before this receipt'));
          },
        );
      } catch (cause) {
        return rest(again('the service could not be reached', cause));
      }
    },
    get: (path, sending) => found(path, sending, documentOf),
    send: (path, document, sending) =>
      found(path, { ...sending, body: JSON.stringify(document), type: 'application/json' }, documentOf),
    getChanged: (path, etag, sending) => found(path, { ...sending, etag }, changedBy),
  };
};

const documentOf = async (answer: Response): Promise<GetOutcome> =>
  answer.ok ? { kind: 'found', document: await answer.json() } : await failure(answer);

const changedBy = async (answer: Response): Promise<ChangedOutcome> => {
  if (answer.status === 304) return { kind: 'unchanged' };
  if (answer.status !== 200) return await failure(answer);
  return { kind: 'found', document: await answer.json(), etag: answer.headers.get('etag') ?? undefined };
};

interface RequestOf extends Sending {
  readonly body?: string;
  readonly type?: string;
  readonly key?: string;
  readonly etag?: string | undefined;
}

const headersOf = (token: string, { body, type, key, etag, traceparent }: RequestOf) => ({
  authorization: `Bearer ${token}`,
  ...(body !== undefined && { 'content-type': type ?? 'application/x-ndjson' }),
  ...(key !== undefined && { 'idempotency-key': `"${key}"` }),
  ...(etag !== undefined && { 'if-none-match': etag }),
  ...(traceparent !== undefined && { traceparent }),
});

const again = (message: string, cause?: unknown): Extract<Outcome, { kind: 'again' }> => ({
  kind: 'again',
  error: new ClientError('deadline', message, { cause }),
  afterMs: 0,
});

const linesOf = async function* (body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let held = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      held += done ? decoder.decode() : decoder.decode(value, { stream: true });
      const lines = held.split('\n');
      held = lines.pop() ?? '';
      yield* lines.filter((line) => line !== '');
      if (done) return;
    }
  } finally {
    // A line that is no JSON ends the reading; the connection must not wait for its rest.
    await reader.cancel().catch(() => undefined);
  }
};

interface ResultLine {
  readonly line: number;
  readonly status: string;
  readonly id: string;
  readonly seq: number;
  readonly hash: string;
  readonly problem?: ProblemDocument;
}

const takeResult = (results: (Outcome | undefined)[], text: string): void => {
  const { line, status, id, seq, hash, problem } = JSON.parse(text) as ResultLine;
  if (!Number.isInteger(line) || line < 1 || line > results.length) return;
  if ((status === 'recorded' || status === 'repeated') && typeof seq === 'number')
    results[line - 1] = { kind: 'recorded', receipt: { status, id, seq, hash } };
  else if (problem) results[line - 1] = outcomeOf(problem, 0);
};

const failure = async (answer: Response): Promise<Exclude<Outcome, { kind: 'recorded' }>> => {
  const text = await answer.text();
  const afterMs = retryAfterMs(answer.headers.get('retry-after'));
  const problem = problemOf(text, answer.headers.get('content-type'));
  if (problem) return outcomeOf(problem, afterMs);
  const message = `${answer.status} without a problem document`;
  return AGAIN.has(answer.status)
    ? { kind: 'again', error: new ClientError('deadline', message), afterMs }
    : { kind: 'final', error: new ClientError('protocol', message) };
};

const problemOf = (text: string, type: string | null): ProblemDocument | undefined => {
  if (!type?.startsWith('application/problem+json')) return undefined;
  try {
    const document = JSON.parse(text) as ProblemDocument;
    return typeof document.code === 'string' && typeof document.status === 'number' ? document : undefined;
  } catch {
    return undefined;
  }
};

const outcomeOf = (problem: ProblemDocument, afterMs: number): Exclude<Outcome, { kind: 'recorded' }> => {
  const { status, code, title, detail } = problem;
  const message = `${title}: ${detail}`;
  return AGAIN.has(status) && !NEVER_AGAIN.has(code)
    ? { kind: 'again', error: new ClientError('deadline', message, { problem }), afterMs }
    : { kind: 'final', error: new ClientError(codeOf(problem), message, { problem }) };
};

const codeOf = ({ status, code }: ProblemDocument): ClientErrorCode => {
  if (code === 'tenant-mismatch') return 'refused';
  switch (status) {
    case 401:
    case 403:
      return 'unauthorized';
    case 404:
      return 'not-found';
    case 409:
      return 'conflict';
    default:
      return 'refused';
  }
};
