// Open-loop load: requests begin when their time has come, whether or not earlier ones were answered. Whoever gets no
// answer, or one that says "later", sends the same again until the receipt is acknowledged, as a careful client does.
import { setTimeout as pause } from 'node:timers/promises';
import type { TenantId } from '#schemas/ids.ts';
import { type Answers, answerBook } from './answers.ts';
import { type Answer, httpClient, problemCode, sameOf } from './http-client.ts';

export interface LoadOptions {
  /** The service now; a restarted one listens on the same. */
  readonly url: string;
  readonly tokens: ReadonlyMap<TenantId, string>;
  /** Requests in a second. */
  readonly rate: number;
}

/** Disposing ends it at once, whatever is still open. */
export interface Load extends Disposable {
  readonly answers: Answers;
  /** Requests without an answer, and answers that were refusals, by problem code. */
  readonly trouble: ReadonlyMap<string, number>;
  /** Throws what a client saw that must not be. */
  readonly check: () => void;
  /** No new receipts; returns once all that were sent are acknowledged, or throws after a minute. */
  readonly settle: () => Promise<void>;
}

const BATCH_LINES = 5;
const SETTLED_WITHIN_MS = 60_000;
/** What may be answered while something is broken: each says "later", and that is true. */
const LATER = new Set(['store-unavailable', 'outcome-unknown', 'shutting-down', 'not-ready', 'overloaded']);

interface Sending {
  readonly tenant: TenantId;
  readonly ids: readonly string[];
  readonly number: number;
}

export const startLoad = ({ url, tokens, rate }: LoadOptions): Load => {
  const answers = answerBook();
  const trouble = new Map<string, number>();
  const failures: Error[] = [];
  const client = httpClient(256);
  const tenants = [...tokens.keys()];
  const done: Sending[] = [];
  const waiting = new Set<Promise<void>>();
  let abandoned = false;
  const count = (what: string): void => void trouble.set(what, (trouble.get(what) ?? 0) + 1);

  /** One try: true when every receipt of it is acknowledged. */
  const attempt = async (sending: Sending): Promise<boolean> => {
    let answer: Answer;
    try {
      answer = await client.ask(url, requestOf(sending, tokens.get(sending.tenant) ?? ''));
    } catch (error) {
      count((error as NodeJS.ErrnoException).code ?? (error as Error).message);
      return false;
    }
    const later = takeAnswer(answers, sending, answer);
    if (later !== undefined) count(later);
    return later === undefined;
  };
  const persist = async (sending: Sending): Promise<void> => {
    while (!(await attempt(sending))) {
      if (abandoned) return;
      await pause(50 + Math.random() * 250);
    }
    done.push(sending);
  };
  const begin = (work: Promise<void>): void => {
    const guarded = work.catch((error: unknown) => void failures.push(error as Error));
    waiting.add(guarded);
    void guarded.finally(() => waiting.delete(guarded));
  };
  let number = 0;
  const startedAt = performance.now();
  const clock = setInterval(() => {
    for (const due = ((performance.now() - startedAt) / 1_000) * rate; number < due; number += 1) {
      // One in eight asks again for something old, which must be answered as it was.
      const old = number % 8 === 7 ? done[Math.floor(Math.random() * done.length)] : undefined;
      const sending = old ?? newSending(tenants[number % tenants.length] as TenantId, number);
      for (const id of sending.ids) answers.sent({ tenant: sending.tenant, id });
      begin(persist(sending));
    }
  }, 5);
  const check = (): void => {
    if (failures[0]) throw failures[0];
  };
  return {
    answers,
    trouble,
    check,
    settle: async () => {
      clearInterval(clock);
      const patience = new AbortController();
      const end = pause(SETTLED_WITHIN_MS, undefined, { signal: patience.signal }).catch(() => undefined);
      await Promise.race([Promise.all(waiting), end]);
      patience.abort();
      check();
      answers.expectComplete();
    },
    [Symbol.dispose]: () => {
      clearInterval(clock);
      abandoned = true;
      client[Symbol.dispose]();
    },
  };
};

/** Every fourth is a batch. */
const newSending = (tenant: TenantId, number: number): Sending => ({
  tenant,
  number,
  ids: Array.from({ length: number % 4 === 3 ? BATCH_LINES : 1 }, (_, line) => `r-${number}-${line}`),
});

const receiptText = (id: string | undefined, number: number): string =>
  JSON.stringify({
    ...(id !== undefined && { id }),
    action: 'db.export',
    actor: `caller-${number % 100}`,
    decision: number % 5 === 0 ? 'deny' : 'allow',
    inputs: { filler: 'x'.repeat((number * 37) % 900), number },
  });

/** Alone, a receipt is sent with its id, with a key in place of it, or with both. */
const requestOf = ({ ids, number }: Sending, token: string) => {
  const [id = ''] = ids;
  if (ids.length > 1)
    return {
      path: '/v1/receipts',
      token,
      type: 'application/x-ndjson',
      body: ids.map((each) => receiptText(each, number)).join('\n'),
    };
  const way = number % 3;
  return {
    path: '/v1/receipts',
    token,
    body: receiptText(way === 1 ? undefined : id, number),
    ...(way > 0 && { headers: { 'idempotency-key': id } }),
  };
};

interface LineResult {
  readonly seq: number;
  readonly hash: string;
  readonly problem?: { readonly code: string };
}

/** `undefined` when all is acknowledged, else why it is to be sent again. Throws on what may not be answered. */
const takeAnswer = (answers: Answers, { ids }: Sending, answer: Answer): string | undefined => {
  const refused = problemCode(answer);
  if (refused !== undefined) return laterOnly(refused, answer);
  if (ids.length === 1) {
    if (answer.status !== 201) throw new Error(`${ids[0]}: ${answer.status} ${answer.body}`);
    const { fact } = JSON.parse(answer.body) as { readonly fact: LineResult };
    answers.acknowledged(ids[0] as string, fact, sameOf(answer));
    return undefined;
  }
  const lines = answer.body.split('\n').filter(Boolean);
  let later = lines.length < ids.length ? 'the results were cut off' : undefined;
  for (const [index, line] of lines.entries()) {
    const { problem, seq, hash } = JSON.parse(line) as LineResult;
    if (problem) later = laterOnly(problem.code, answer);
    else answers.acknowledged(ids[index] as string, { seq, hash });
  }
  return later;
};

const laterOnly = (code: string, { status, headers, body }: Answer): string => {
  if (!LATER.has(code)) throw new Error(`refused with ${status} ${body}`);
  if (status !== 200 && headers['retry-after'] === undefined) throw new Error(`${code} without Retry-After`);
  return code;
};
