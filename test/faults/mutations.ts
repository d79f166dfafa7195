// The service on a real PostgreSQL, and random damage to the requests that it takes. After every volley the oracle asks the
// store: what was acknowledged is there, what is there was acknowledged.
import { expect } from 'chai';
import fc from 'fast-check';
import { catalogue, type ProblemCode } from '#gateway/http/problems.ts';
import { jwks } from '#proofs/keys/public-key.ts';
import type { Seq } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';
import { acme, type GatewayUnderTest, gatewayOn, globex } from '#test/gateway/http/gateway-under-test.ts';
import { type RawAnswer, rawConnection } from '#test/gateway/http/raw-connection.ts';
import { openPostgres } from '#test/streams/postgres/postgres-adapter.ts';
import { expectLedgerSound } from '#test/support/ledger-sound.ts';
import { mutant } from './mutants.ts';

export interface MutationsOptions {
  /** Requests; rounded up to whole volleys. */
  readonly requests: number;
  /** Of the random choices; another one each time unless told. */
  readonly seed?: number | undefined;
  /** Stands between the gateway and its store, for the test of the oracle itself. */
  readonly wrap?: (store: StreamStore) => StreamStore;
  readonly log?: (line: string) => void;
}

export interface MutationsFigures {
  readonly seed: number;
  readonly requests: number;
  /** More than the requests, where damage to the framing made two of one. */
  readonly answers: number;
  readonly statuses: Readonly<Record<string, number>>;
  /** By code: of whole answers and of the lines of batches. */
  readonly problems: Readonly<Record<string, number>>;
  readonly recorded: number;
  readonly repeated: number;
  /** Facts of batches whose end did not come in time, or not as HTTP, before their line was answered. */
  readonly cutOff: number;
  /** Facts in the store, each of them acknowledged but for the tenants' own and those that were cut off. */
  readonly stored: number;
}

/** At once, each on a connection of its own. */
const VOLLEY = 250;
const ANSWERED_WITHIN_MS = 30_000;
/** Soon enough that a request whose end was cut off does not hold up its volley for long. */
const LIMITS = { headersTimeoutMs: 250, requestTimeoutMs: 250 };

/** Throws at the first answer or fact that must not be, with the seed that shows it again. */
export const runMutations = async (options: MutationsOptions): Promise<MutationsFigures> => {
  const {
    requests,
    seed = (Date.now() ^ process.pid) >>> 1,
    wrap = (store) => store,
    log = () => undefined,
  } = options;
  const postgres = await openPostgres();
  const { store, keys, clock } = postgres;
  await using under = await gatewayOn({
    store,
    keySet: jwks(keys),
    clock,
    wrap,
    over: { limits: LIMITS },
    close: () => postgres[Symbol.asyncDispose](),
  });
  const url = await under.gateway.listen({ host: '127.0.0.1', port: 0 });
  const token = await under.token();
  const watch = await oracle(under);
  const volleys = Math.ceil(requests / VOLLEY);
  let flown = 0;
  const volley = fc.array(mutant(token), { minLength: VOLLEY, maxLength: VOLLEY });
  const flights = fc.asyncProperty(volley, async (mutants) => {
    const answers = await Promise.all(mutants.map((each) => answersTo(url, each)));
    for (const [index, mine] of answers.entries()) {
      for (const answer of mine) watch.take(answer);
      if (mine.some(isBroken)) watch.doubt(mutants[index] as Buffer);
    }
    await watch.compare((id) => exchangeOf(id, mutants, answers));
    flown += 1;
    if (flown % 40 === 0) log(`${flown * VOLLEY} requests, ${JSON.stringify(watch.figures().statuses)}`);
  });
  // A smaller volley would meet another store than this one did: nothing is tried again.
  const { errorInstance } = await fc.check(flights, { numRuns: volleys, seed, endOnFailure: true });
  if (errorInstance) throw new Error(`seed ${seed}, volley ${flown + 1}: ${String(errorInstance)}`);
  expect(under.faults, 'faults behind the answers').to.deep.equal([]);
  expect((await store.head(globex))?.seq, "the other tenant's chain").to.equal(1);
  const sound = await expectLedgerSound({ store, keys });
  return { seed, requests: volleys * VOLLEY, ...watch.figures(), stored: sound.facts };
};

/** All that comes back until the service closes the connection: at least one answer. */
const answersTo = async (url: string, bytes: Buffer): Promise<readonly RawAnswer[]> => {
  using connection = await rawConnection(url);
  const late = setTimeout(() => connection.socket.destroy(), ANSWERED_WITHIN_MS);
  try {
    connection.send(bytes);
    const answers: RawAnswer[] = [];
    for (;;) {
      const answer = await connection.answer();
      if (answer) answers.push(answer);
      else if (answers.length > 0) return answers;
      else return [cutOff(connection.received(), bytes)];
      // What damage made of the rest is answered too; then the service, told that nothing more comes, closes.
      connection.socket.end();
    }
  } finally {
    clearTimeout(late);
  }
};

/** A batch whose end did not come in time is answered as far as it came, and then cut off: those lines count. */
const cutOff = (received: string, sent: Buffer): RawAnswer => {
  const type = 'application/x-ndjson';
  if (!received.startsWith('HTTP/1.1 200 ') || !received.includes(type))
    throw new Error(`no answer to ${JSON.stringify(sent.toString('latin1'))}`);
  return {
    status: 200,
    headers: new Map([
      ['content-type', type],
      [CUT_OFF, 'true'],
    ]),
    body: received,
  };
};

/** No header of HTTP, since no service sent it. */
const CUT_OFF = ':cut-off';

/** Its end did not come, or not as HTTP: of a batch, whose lines are stored while they arrive, some may be stored. */
const isBroken = ({ status, headers, body }: RawAnswer): boolean =>
  headers.has(CUT_OFF) || status === 408 || (status === 400 && body.includes('"request-malformed"'));

/** As its sender wrote it. */
const idOf = (payload: string): string => {
  const { id, ext } = JSON.parse(payload) as {
    readonly id: string;
    readonly ext?: { readonly cloudevents?: { readonly id: string } };
  };
  return ext?.cloudevents?.id ?? id;
};

const exchangeOf = (
  id: string,
  sent: readonly Buffer[],
  answers: readonly (readonly RawAnswer[])[],
): string =>
  sent
    .map((bytes, index) => ({ text: bytes.toString('latin1'), mine: answers[index] ?? [] }))
    .filter(({ text }) => text.includes(id))
    .map(
      ({ text, mine }) =>
        `\n${JSON.stringify(text)}\n${mine.map(({ status, body }) => `${status} ${body}`).join('\n')}`,
    )
    .join('');

interface Result {
  readonly status: string;
  readonly seq?: number;
  readonly hash?: string;
  readonly problem?: { readonly code: string };
}

interface Oracle {
  readonly take: (answer: RawAnswer) => void;
  /** Of this request the sender does not know all that came of it. */
  readonly doubt: (sent: Buffer) => void;
  /** `exchange` shows the request that named an id, and its answers. */
  readonly compare: (exchange: (id: string) => string) => Promise<void>;
  readonly figures: () => Omit<MutationsFigures, 'seed' | 'requests' | 'stored'>;
}

const oracle = async ({ store }: GatewayUnderTest): Promise<Oracle> => {
  const statuses = new Map<string, number>();
  const problems = new Map<string, number>();
  const hashes = new Map<number, string>();
  const fresh = new Set<number>();
  let read = (await store.head(acme))?.seq ?? 0;
  let [answers, recorded, repeated, doubtful] = [0, 0, 0, 0];
  let doubts: string[] = [];
  const isDoubtful = (payload: string): boolean =>
    doubts.some((sent) => sent.includes(JSON.stringify(idOf(payload))));
  const count = (of: Map<string, number>, what: string): void => void of.set(what, (of.get(what) ?? 0) + 1);
  const refused = (code: string): ProblemCode => {
    if (!Object.hasOwn(catalogue, code)) throw new Error(`${code} is not in the catalogue`);
    count(problems, code);
    return code as ProblemCode;
  };
  const acknowledged = (seq: number, hash: string, again: boolean): void => {
    const before = hashes.get(seq);
    if (before !== undefined) expect(hash, `seq ${seq} was acknowledged with another hash`).to.equal(before);
    hashes.set(seq, hash);
    if (again) repeated += 1;
    else {
      recorded += 1;
      fresh.add(seq);
    }
  };
  const takeResult = ({ status, seq, hash, problem }: Result): void => {
    if (problem) expect(catalogue[refused(problem.code)].status, problem.code).to.be.below(500);
    else if (status === 'recorded' || status === 'repeated')
      acknowledged(Number(seq), String(hash), status === 'repeated');
    else throw new Error(`a result that is neither: ${status}`);
  };
  return {
    take: (answer) => {
      answers += 1;
      count(statuses, String(answer.status));
      const { status, headers, body } = answer;
      expect(status, body).to.be.below(500);
      if (status >= 400) return expectProblem(answer, refused);
      if (status === 201) {
        const { fact } = JSON.parse(body) as {
          readonly fact: { readonly seq: number; readonly hash: string };
        };
        acknowledged(fact.seq, fact.hash, headers.get('idempotent-replayed') === 'true');
      } else for (const result of resultsOf(answer)) takeResult(result);
    },
    doubt: (sent) => {
      const text = sent.toString();
      if (text.includes('x-ndjson')) doubts.push(text);
    },
    compare: async (exchange) => {
      for await (const page of store.read(acme, { from: (read + 1) as Seq }))
        for (const { seq, hash, payload } of page) {
          if (!hashes.has(seq) && isDoubtful(payload)) doubtful += 1;
          else if (hashes.get(seq) !== hash)
            throw new Error(`stored and not acknowledged: ${payload}${exchange(idOf(payload))}`);
          fresh.delete(seq);
          read = seq;
        }
      expect([...fresh], 'acknowledged and not stored').to.deep.equal([]);
      doubts = [];
    },
    figures: () => ({
      answers,
      statuses: sorted(statuses),
      problems: sorted(problems),
      recorded,
      repeated,
      cutOff: doubtful,
    }),
  };
};

const expectProblem = (
  { status, headers, body }: RawAnswer,
  refused: (code: string) => ProblemCode,
): void => {
  expect(headers.get('content-type'), body).to.match(/^application\/problem\+json/);
  const problem = JSON.parse(body) as { readonly code: string; readonly status: number };
  expect([problem.status, catalogue[refused(problem.code)].status], problem.code).to.deep.equal([
    status,
    status,
  ]);
};

/** Of a batch, in either form; none of any other answer. */
const resultsOf = ({ headers, body }: RawAnswer): readonly Result[] => {
  if (headers.get('content-type')?.startsWith('application/x-ndjson'))
    return body
      .split('\n')
      .filter((line) => line.includes('"line"'))
      .map((line) => JSON.parse(line) as Result);
  if (!body.startsWith('{"results"')) return [];
  return (JSON.parse(body) as { readonly results: readonly Result[] }).results;
};

const sorted = (of: ReadonlyMap<string, number>): Readonly<Record<string, number>> =>
  Object.fromEntries([...of].sort(([, a], [, b]) => b - a));
