// prov-ledger dlq list|show|replay|discard: messages that could not be taken. Whoever looks at one has seen what a
// producer sent, and whoever takes or gives one up has changed what the ledger holds: each is a fact of the operators'.
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { OPERATORS } from '#commands/tenants.ts';
import { type Instant, instantText } from '#schemas/ids.ts';
import type { MessageEvent } from '#schemas/messages.ts';
import { findLetter, type Letter, listLetters } from '#streams/postgres/transport/letters.ts';
import {
  discardLetter,
  type ReplayResult,
  replayLetter,
  type SettleOptions,
} from '#streams/postgres/transport/settle.ts';
import type { AppendRequest } from '#streams/stream.ts';
import { recordAbout } from '../kafka/records.ts';
import { ensureOperators } from '../tenancy/operators.ts';
import {
  aCount,
  group,
  type LedgerContext,
  ledgerLeaf,
  type Options,
  parsedBy,
  type Run,
} from './command.ts';
import { CliError } from './exit.ts';
import { areMany, type ManyOptions, manyOptions, settleMany } from './letters-all.ts';
import { count, pairs, table, visible } from './output.ts';

type Doing = 'list' | 'show' | 'replay' | 'discard';

/** The fact that somebody did this; the chain that it goes into is there afterwards. */
const record = async (
  { ledger, world }: LedgerContext,
  doing: Doing,
  event: MessageEvent,
): Promise<AppendRequest> => {
  const actor = `prov-ledger dlq ${doing}`;
  const at = world.clock();
  await ensureOperators(ledger.store, { actor, at });
  return recordAbout(event, { tenant: OPERATORS, actor, at, key: randomUUID() });
};

const seen = async (context: LedgerContext, doing: Doing, event: MessageEvent): Promise<void> => {
  const { kind } = await context.ledger.store.append(await record(context, doing, event));
  if (kind !== 'appended') throw new Error(`the record of dlq ${doing} is ${kind}`);
};

const aLetter = parsedBy((raw: string): number => {
  if (!/^\d{1,15}$/.test(raw) || Number(raw) === 0)
    throw new Error('use the number of a letter, from dlq list');
  return Number(raw);
});

const textOf = (bytes: Buffer | undefined): string | undefined => {
  const text = bytes?.toString('utf8');
  return text === undefined || text.includes('\uFFFD') ? undefined : text;
};

const document = (letter: Letter) => ({
  letter: letter.letter,
  state: letter.state,
  topic: letter.topic,
  partition: letter.partition,
  offset: letter.offset,
  key: textOf(letter.key),
  error_class: letter.errorClass,
  error: letter.error,
  schema_id: letter.schemaId,
  received_at: instantText(letter.receivedAt as Instant),
  ...(letter.outcome !== undefined && { outcome: letter.outcome }),
});

interface ListOptions extends Options {
  readonly topic?: string;
  readonly all?: boolean;
  readonly limit?: number;
}

const list = (run: Run): Command =>
  ledgerLeaf<ListOptions>(
    run,
    {
      usage: 'list',
      summary: 'messages that are not taken and those held behind them, the oldest first',
      examples: ['dlq list', 'dlq list --topic provenance.receipts.v1 --json', 'dlq list --all --limit 500'],
      build: (command) =>
        command
          .option('--topic <name>', 'of this topic only, as the cluster calls it')
          .option('--all', 'those taken after all or given up, too')
          .option('--limit <number>', 'how many at most; 100 unless given', aCount(10_000)),
    },
    async (context, { topic, all = false, limit = 100 }) => {
      const states = all ? undefined : (['dead', 'held'] as const);
      const letters = await listLetters(context.ledger.pool, { topic, states, limit });
      await seen(context, 'list', {
        type: 'messages.LettersListed',
        data: { ...(topic !== undefined && { topic }), listed: letters.length },
      });
      context.output.answer({ letters: letters.map(document) }, () =>
        letters.length === 0
          ? 'no letters'
          : table(
              ['LETTER', 'STATE', 'TOPIC', 'PARTITION', 'OFFSET', 'KEY', 'WHAT IS WRONG'],
              letters.map((each) => [
                String(each.letter),
                each.state,
                each.topic,
                String(each.partition),
                String(each.offset),
                shownKey(each),
                `${each.errorClass}: ${each.error}`,
              ]),
            ),
      );
      return 'ok';
    },
  );

const shownKey = ({ key }: Letter): string =>
  key === undefined ? '-' : (textOf(key) ?? `0x${key.toString('hex')}`);

const show = (run: Run): Command =>
  ledgerLeaf<Options & { readonly out?: string }>(
    run,
    {
      usage: 'show <letter>',
      summary: 'one letter with the very bytes it came in; that you looked is recorded',
      examples: ['dlq show 17', 'dlq show 17 --json', 'dlq show 17 --out value.bin'],
      build: (command) => command.option('--out <file>', 'write the value to this file, byte for byte'),
    },
    async (context, { out }, [number = '']) => {
      const letter = await letterOf(context, aLetter(number));
      await seen(context, 'show', { type: 'messages.LetterViewed', data: placeOf(letter) });
      if (out !== undefined) writeFileSync(out, letter.value ?? Buffer.alloc(0));
      const { value, headers } = letter;
      const whole = {
        ...document(letter),
        key_base64: letter.key?.toString('base64'),
        value_base64: value?.toString('base64'),
        headers: headers.map(([name, bytes]) => ({
          name,
          value: textOf(bytes),
          base64: bytes.toString('base64'),
        })),
        sent_at: instantText(letter.sentAt as Instant),
      };
      context.output.answer(whole, () =>
        [
          pairs(Object.entries(document(letter)).map(([name, of]) => [name.replaceAll('_', ' '), of])),
          ...headers.map(([name, bytes]) => `header ${visible(name)}: ${visible(textOf(bytes) ?? '')}`),
          value === undefined ? 'no value' : `${count(value.length, 'byte')}\n${hexadecimal(value)}`,
        ].join('\n'),
      );
      return 'ok';
    },
  );

const SHOWN_BYTES = 512;

const hexadecimal = (value: Buffer): string => {
  const lines: string[] = [];
  for (let at = 0; at < Math.min(value.length, SHOWN_BYTES); at += 16) {
    const row = value.subarray(at, at + 16);
    const hex = row.toString('hex').replace(/(..)(?=.)/g, '$1 ');
    const text = row.toString('latin1').replace(/[^ -~]/g, '.');
    lines.push(`${at.toString(16).padStart(4, '0')}  ${hex.padEnd(47)}  ${text}`);
  }
  if (value.length > SHOWN_BYTES) lines.push('…; --out writes all of it');
  return lines.join('\n');
};

const placeOf = ({ letter, topic, partition, offset }: Letter) => ({ letter, topic, partition, offset });

const letterOf = async ({ ledger }: LedgerContext, number: number): Promise<Letter> => {
  const letter = await findLetter(ledger.pool, number);
  if (letter) return letter;
  throw noSuchLetter(number);
};

const noSuchLetter = (number: number): CliError =>
  new CliError(
    'refused',
    'no-such-letter',
    `there is no letter ${number}; \`prov-ledger dlq list --all\` has them`,
  );

const askedFor = async (
  context: LedgerContext,
  options: ManyOptions,
  number = '',
): Promise<Letter | 'all'> =>
  areMany(number || undefined, options) ? 'all' : await letterOf(context, aLetter(number));

const replay = (run: Run): Command =>
  ledgerLeaf<ManyOptions>(
    run,
    {
      usage: 'replay [letter]',
      summary:
        'take a letter after all, or all of a kind, and those held behind, in the order in which they came',
      examples: ['dlq replay 17', 'dlq replay --all --class no-such-tenant'],
      build: manyOptions,
    },
    async (context, options, [number]) => {
      const asked = await askedFor(context, options, number);
      const settling = await settlingOf(context);
      const settle = async (letter: Letter): Promise<ReplayResult> => {
        const data = placeOf(letter);
        const request = await record(context, 'replay', { type: 'messages.LetterReplayed', data });
        return await replayLetter(settling, letter.letter, request);
      };
      return asked === 'all'
        ? await settleMany(context, { options, first: 'taken', settle })
        : answered(context, asked, await settle(asked));
    },
  );

const discard = (run: Run): Command =>
  ledgerLeaf<ManyOptions & { readonly reason: string }>(
    run,
    {
      usage: 'discard [letter]',
      summary:
        'give a letter up, or all of a kind, and take those held behind; the reason stands in the ledger',
      examples: [
        'dlq discard 17 --reason "sent by a test"',
        'dlq discard --all --class malformed --reason "sent by a test"',
      ],
      build: (command) =>
        manyOptions(command).requiredOption(
          '--reason <text>',
          'why it is given up; it stands in the ledger for good',
        ),
    },
    async (context, options, [number]) => {
      const { reason } = options;
      if (reason.trim() === '' || reason.length > 512)
        throw new CliError('usage', 'bad-reason', '--reason: give 1 to 512 characters');
      const asked = await askedFor(context, options, number);
      const settling = await settlingOf(context);
      const settle = async (letter: Letter): Promise<ReplayResult> => {
        const data = { ...placeOf(letter), reason };
        const request = await record(context, 'discard', { type: 'messages.LetterDiscarded', data });
        return await discardLetter(settling, letter.letter, request);
      };
      return asked === 'all'
        ? await settleMany(context, { options, first: 'given up', settle })
        : answered(context, asked, await settle(asked), 'given up');
    },
  );

const settlingOf = async ({ ledger }: LedgerContext): Promise<SettleOptions> => {
  if (ledger.settling) return await ledger.settling();
  throw new CliError('usage', 'no-letters', 'this ledger takes no messages: it has no letters');
};

const answered = (
  { output }: LedgerContext,
  letter: Letter,
  result: ReplayResult,
  first = 'taken',
): 'ok' | 'refused' => {
  switch (result.kind) {
    case 'no-such-letter':
      throw noSuchLetter(letter.letter);
    case 'closed':
      throw new CliError(
        'refused',
        'closed',
        `letter ${letter.letter} is ${result.letter.state === 'settled' ? 'taken' : 'given up'} already`,
      );
    case 'behind':
      throw new CliError(
        'refused',
        'behind-another',
        `letter ${letter.letter} waits behind letter ${result.first.letter} with the same key: replay or discard that one`,
      );
    case 'done': {
      const { accepted, duplicate, conflict, stopped } = result;
      output.answer(
        { letter: letter.letter, accepted, duplicate, conflict, stopped: stopped ?? null },
        () => {
          const taken = `${accepted} accepted, ${duplicate} duplicate, ${conflict} in conflict`;
          return stopped?.letter === letter.letter
            ? `letter ${letter.letter} still cannot be taken: ${visible(stopped.error)}`
            : `letter ${letter.letter} is ${first}; ${taken}`;
        },
      );
      if (!stopped) return 'ok';
      if (stopped.letter !== letter.letter)
        output.note(`letter ${stopped.letter} behind it cannot be taken: ${visible(stopped.error)}`);
      return 'refused';
    }
    default:
      return result satisfies never;
  }
};

export const letterCommands = (run: Run): Command =>
  group('dlq', 'messages that could not be taken', [list(run), show(run), replay(run), discard(run)]);
