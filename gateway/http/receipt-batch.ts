// A batch of receipts as NDJSON: read and answered while it arrives, a line for a line.
import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { inOrder, type Window } from './in-order.ts';
import { type Line, type LineLimits, readLines } from './lines.ts';
import { type Problem, type ProblemCode, problem } from './problems.ts';
import { recordingResult } from './receipt-answers.ts';
import { type Recorder, type Recording, recordReceipt, type Sender } from './record.ts';
import { type Call, NDJSON_TYPE, problemReply, type Reply } from './route.ts';

const BATCH: LineLimits = { lineBytesMax: 1 << 20, batchBytesMax: 64 << 20, linesMax: 10_000 };

// As many as one group commit takes; the bytes bound what a batch of large receipts holds in memory.
const WINDOW: Window<Line> = {
  items: 1_000,
  weight: 8 << 20,
  weigh: (line) => (line.kind === 'line' ? line.bytes.length : 0),
};

/** Results held for a client that sends its whole batch before it reads: without this the two would wait for each other. */
const RESULTS_BYTES_MAX = 16 << 20;

/** The body is on its way all the same, and nobody will read it. */
export const batchRefusal = (of: Problem, requestId: string): Reply => {
  const reply = problemReply(of, requestId);
  return { ...reply, headers: { ...reply.headers, connection: 'close' } };
};

export const batchReply = (recorder: Recorder, { body, headers, requestId }: Call, sender: Sender): Reply => {
  if (Number(headers['content-length']) > BATCH.batchBytesMax) {
    const detail = `a batch has at most ${BATCH.batchBytesMax} bytes`;
    return batchRefusal(problem('body-too-large', detail), requestId);
  }
  const results = batchResults(recorder, body as Readable, sender);
  return {
    status: 200,
    type: NDJSON_TYPE,
    body: Readable.from(results, { objectMode: false, highWaterMark: RESULTS_BYTES_MAX }),
  };
};

// A store that has let one line wait in vain would let each window of those behind it wait as long.
const AWAY: ReadonlySet<ProblemCode> = new Set(['store-unavailable', 'outcome-unknown', 'out-of-space']);
const NOT_TRIED = problem(
  'store-unavailable',
  'the store failed an earlier line of the batch; this one was not tried',
);

/** One line of JSON per line of the batch, in the same order. */
const batchResults = (recorder: Recorder, body: Readable, sender: Sender): AsyncGenerator<string> => {
  const { shares } = recorder.admission;
  let away = false;
  const work = async (line: Line): Promise<string> => {
    const { number } = line;
    if (away) return resultLine(number, { kind: 'refused', problem: NOT_TRIED }, sender);
    if (line.kind !== 'line')
      return resultLine(number, { kind: 'refused', problem: limitProblem(line.kind) }, sender);
    const recording = await shares.inShare(sender.caller.tenant, () =>
      recordReceipt(recorder, line.bytes, sender),
    );
    away ||= recording.kind === 'refused' && AWAY.has(recording.problem.code);
    return resultLine(number, recording, sender);
  };
  // The stream stays whole when reading stops at a limit: destroying it would cut off the answer.
  const chunks = {
    [Symbol.asyncIterator]: () => body.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>,
  };
  return inOrder(inTurn(readLines(chunks, BATCH)), work, WINDOW);
};

/** Lines read at once: what comes on other connections is looked at between them. */
const LINES_A_TURN = 16;

const inTurn = async function* (lines: AsyncIterable<Line>): AsyncGenerator<Line> {
  let count = 0;
  for await (const line of lines) {
    yield line;
    count += 1;
    if (count % LINES_A_TURN === 0) await nextTurn();
  }
};

const resultLine = (line: number, recording: Recording, { requestId }: Sender): string =>
  `${JSON.stringify(recordingResult({ line }, recording, requestId))}\n`;

const limitProblem = (kind: Exclude<Line['kind'], 'line'>): Problem => {
  switch (kind) {
    case 'line-too-long':
      return problem(
        'body-too-large',
        `the line is longer than ${BATCH.lineBytesMax} bytes; the lines after it were read`,
      );
    case 'batch-too-large':
      return problem(
        'body-too-large',
        `the batch is longer than ${BATCH.batchBytesMax} bytes; this line and those after it were not read`,
      );
    case 'too-many-lines':
      return problem(
        'too-many-lines',
        `the batch has more than ${BATCH.linesMax} lines; this line and those after it were not read`,
      );
    default:
      return kind satisfies never;
  }
};
