// What became of messages, as figures: the terms of the conservation equation as the database holds them, so that they
// are right whichever process took a message, and move when a letter is taken after all.
import { collectDefaultMetrics } from 'prom-client';
import type { Figure, Instruments } from '#gateway/http/metrics.ts';
import type { PartitionFlow } from '#streams/postgres/transport/flow.ts';
import type { OpenLetters } from '#streams/postgres/transport/letters.ts';
import { FLOW_FATES } from '#streams/postgres/transport/message.ts';

export interface MessageFigures {
  /** As last sampled; nothing while it is not known. */
  readonly flow: () => readonly PartitionFlow[] | undefined;
  readonly letters: () => readonly OpenLetters[] | undefined;
  readonly lag: () => number;
  readonly partitions: () => number;
}

export const messageFigures = ({ flow, letters, lag, partitions }: MessageFigures): readonly Figure[] => {
  const ofPartition = (name: string, help: string, value: (of: PartitionFlow) => number): Figure => ({
    name,
    help,
    labels: ['topic', 'partition'],
    read: () =>
      (flow() ?? []).map((of) => ({
        labels: { topic: of.topic, partition: String(of.partition) },
        value: value(of),
      })),
  });
  return [
    ofPartition('ledger_messages_received', 'Messages received, by any process.', ({ received }) => received),
    {
      name: 'ledger_messages',
      help: 'Messages by what became of them; the sum over the fates is ledger_messages_received.',
      labels: ['topic', 'partition', 'fate'],
      read: () =>
        (flow() ?? []).flatMap((of) =>
          FLOW_FATES.map((fate) => ({
            labels: { topic: of.topic, partition: String(of.partition), fate },
            value: of[fate],
          })),
        ),
    },
    ofPartition(
      'ledger_messages_missing',
      'Offsets passed without a message that was counted: anything but 0 is a fault.',
      ({ missing }) => missing,
    ),
    ofPartition(
      'ledger_messages_lost',
      'Messages that retention removed before they were taken.',
      ({ lost }) => lost,
    ),
    ofPartition(
      'ledger_messages_topic_anew',
      'Times that a partition began again, as its topic was made anew.',
      ({ incarnation }) => incarnation,
    ),
    {
      name: 'ledger_letters',
      help: 'Messages that are not taken: dead ones and those held behind them, by what is wrong.',
      labels: ['topic', 'state', 'error_class'],
      read: () =>
        (letters() ?? []).map(({ topic, state, errorClass, letters: value }) => ({
          labels: { topic, state, error_class: errorClass },
          value,
        })),
    },
    ...ofProcess({ lag, partitions }),
  ];
};

const ofProcess = ({ lag, partitions }: Pick<MessageFigures, 'lag' | 'partitions'>): readonly Figure[] => [
  {
    name: 'ledger_messages_lag',
    help: 'Messages not taken yet, of the partitions of this process.',
    read: () => [{ value: lag() }],
  },
  {
    name: 'ledger_messages_partitions',
    help: 'Partitions that the group has given to this process.',
    read: () => [{ value: partitions() }],
  },
];

/** `process_*` and `nodejs_*`, for a process whose page has no figures of a ledger's writes. */
export const processFigures: Instruments = {
  register: (registry) => collectDefaultMetrics({ register: registry }),
};
