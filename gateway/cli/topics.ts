// prov-ledger topics apply|diff: the cluster's topics against their declarations.
import type { Command } from 'commander';
import type { TopicDifference } from '#streams/kafka/admin.ts';
import { group, leaf, type Run } from './command.ts';
import { count } from './output.ts';

/** In words for an operator. */
export const textOf = (difference: TopicDifference): string => {
  switch (difference.kind) {
    case 'missing':
      return `${difference.topic} is not there`;
    case 'setting':
      return `${difference.topic}: ${difference.name} is ${difference.is || 'not set'}, declared is ${difference.wanted}`;
    case 'partitions':
      return `${difference.topic} has ${difference.is} partitions, declared are ${difference.wanted}`;
    default:
      return difference satisfies never;
  }
};

const done = (difference: TopicDifference): string => {
  switch (difference.kind) {
    case 'missing':
      return `made ${difference.topic}`;
    case 'setting':
      return `set ${difference.name} of ${difference.topic} from ${difference.is || 'nothing'} to ${difference.wanted}`;
    case 'partitions':
      return textOf(difference);
    default:
      return difference satisfies never;
  }
};

export const PARTITIONS_REMEDY =
  'partitions are not changed here: keys would move to other ones and lose their order. To change them, let producers pause, let everything be taken, and use the tools of Kafka';

const diff = (run: Run): Command =>
  leaf(
    run,
    {
      usage: 'diff',
      summary: 'what the cluster has otherwise than it is declared; exit code 1 when there is something',
      examples: ['topics diff', 'topics diff --json'],
    },
    async ({ world, output }) => {
      await using admin = await world.topics();
      const differences = await admin.diff();
      output.answer({ differences }, () =>
        differences.length === 0 ? 'every topic is as it is declared' : differences.map(textOf).join('\n'),
      );
      return differences.length === 0 ? 'ok' : 'refused';
    },
  );

const apply = (run: Run): Command =>
  leaf(
    run,
    {
      usage: 'apply',
      summary: 'make the topics that are missing and set what differs; nothing is ever deleted',
      examples: ['topics apply', 'topics apply --json'],
    },
    async ({ world, output }) => {
      await using admin = await world.topics();
      const applied = await admin.apply();
      const left = await admin.diff();
      output.answer({ applied, left }, () =>
        applied.length === 0 ? 'nothing to do: every topic is there' : applied.map(done).join('\n'),
      );
      for (const each of left) output.note(textOf(each));
      if (left.some(({ kind }) => kind === 'partitions')) output.note(PARTITIONS_REMEDY);
      if (left.length > 0) output.note(`${count(left.length, 'difference')} left`);
      return left.length === 0 ? 'ok' : 'refused';
    },
  );

export const topicCommands = (run: Run): Command =>
  group('topics', "Kafka's topics, as streams/kafka/topics.ts declares them", [diff(run), apply(run)]);
