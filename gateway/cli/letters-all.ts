// prov-ledger dlq replay|discard --all: every letter of a kind, one after another, each with a fact of its own. What is
// left by an interruption is found by the next run.
import type { Command } from 'commander';
import { type Letter, listLetters } from '#streams/postgres/transport/letters.ts';
import { ERROR_CLASSES, type ErrorClass } from '#streams/postgres/transport/message.ts';
import type { ReplayResult } from '#streams/postgres/transport/settle.ts';
import { type LedgerContext, type Options, parsedBy } from './command.ts';
import { CliError } from './exit.ts';
import { count, visible } from './output.ts';
import { startProgress } from './progress.ts';

export interface ManyOptions extends Options {
  readonly all?: boolean;
  readonly topic?: string;
  readonly class?: ErrorClass;
  readonly quiet?: boolean;
}

const anErrorClass = parsedBy((raw: string): ErrorClass => {
  const found = ERROR_CLASSES.find((each) => each === raw);
  if (found) return found;
  throw new Error(`use one of ${ERROR_CLASSES.join(', ')}`);
});

/** The options of a command that takes one letter or many. */
export const manyOptions = (command: Command): Command =>
  command
    .option('--all', 'every letter that is not taken, of --topic and --class')
    .option('--topic <name>', 'with --all: of this topic only, as the cluster calls it')
    .option('--class <class>', 'with --all: those with this wrong only, as dlq list names it', anErrorClass)
    .option('-q, --quiet', 'show no progress');

/** Whether many are meant. Throws `CliError` where it is neither clearly one nor clearly many. */
export const areMany = (
  number: string | undefined,
  { all = false, topic, class: of }: ManyOptions,
): boolean => {
  if (all && number === undefined) return true;
  if (!all && number !== undefined && topic === undefined && of === undefined) return false;
  throw new CliError(
    'usage',
    'which-letters',
    'give the number of a letter, or --all, perhaps with --topic and --class',
  );
};

interface Settled {
  readonly letters: number;
  readonly accepted: number;
  readonly duplicate: number;
  readonly conflict: number;
  /** They still cannot be taken, or wait behind one that cannot. */
  readonly left: number;
  readonly first_left: { readonly letter: number; readonly error: string } | null;
}

const PAGE = 500;

/** Each dead letter, once, the oldest first; those held behind one follow it. */
const deadLetters = async function* (
  { ledger, world }: LedgerContext,
  { topic, class: errorClass }: ManyOptions,
): AsyncGenerator<Letter> {
  for (let after = 0; ; ) {
    const filter = { topic, errorClass, states: ['dead'], after, limit: PAGE } as const;
    const page = await listLetters(ledger.pool, filter);
    for (const letter of page) {
      if (world.signal.aborted) return;
      yield letter;
    }
    if (page.length < PAGE) return;
    after = page.at(-1)?.letter ?? after;
  }
};

export interface Settling {
  readonly options: ManyOptions;
  /** `taken`, `given up`. */
  readonly first: string;
  readonly settle: (letter: Letter) => Promise<ReplayResult>;
}

/** Throws what `settle` throws; what was settled before that stays. */
export const settleMany = async (
  context: LedgerContext,
  { options, first, settle }: Settling,
): Promise<'ok' | 'refused' | 'interrupted'> => {
  const { output, world } = context;
  const sum = { letters: 0, accepted: 0, duplicate: 0, conflict: 0, left: 0 };
  let firstLeft: Settled['first_left'] = null;
  const leave = (letter: number, error: string): void => {
    sum.left += 1;
    firstLeft ??= { letter, error };
  };
  const progress = startProgress({
    terminal: world.stderr,
    unit: 'letters',
    verb: 'went through',
    state: () => ({ done: sum.letters + sum.left }),
    enabled: options.quiet !== true && !output.json,
  });
  try {
    for await (const letter of deadLetters(context, options)) {
      const result = await settle(letter);
      if (result.kind === 'behind') leave(letter.letter, `it waits behind letter ${result.first.letter}`);
      // Settled by somebody else meanwhile.
      if (result.kind !== 'done') continue;
      sum.accepted += result.accepted;
      sum.duplicate += result.duplicate;
      sum.conflict += result.conflict;
      if (result.stopped) leave(result.stopped.letter, result.stopped.error);
      if (result.stopped?.letter !== letter.letter) sum.letters += 1;
    }
  } finally {
    progress.stop();
  }
  const answer: Settled = { ...sum, first_left: firstLeft };
  output.answer(answer, () => settledText(answer, first));
  if (world.signal.aborted) return 'interrupted';
  return answer.left === 0 ? 'ok' : 'refused';
};

const settledText = (of: Settled, first: string): string => {
  const { letters, accepted, duplicate, conflict, left, first_left } = of;
  const done = `${count(letters, 'letter')} ${first}; ${accepted} accepted, ${duplicate} duplicate, ${conflict} in conflict`;
  if (!first_left) return done;
  return `${done}\n${count(left, 'letter')} left; the first is ${first_left.letter}: ${visible(first_left.error)}`;
};
