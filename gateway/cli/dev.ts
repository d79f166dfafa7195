// prov-ledger dev kafka: a real broker and a real registry for a developer or a demonstration, on this machine alone.
import type { Command } from 'commander';
import { aPort, group, leaf, type Options, type Run } from './command.ts';
import { untilStopped } from './running.ts';

interface DevOptions extends Options {
  readonly kafkaPort?: number;
  readonly registryPort?: number;
  readonly dir?: string;
}

const kafka = (run: Run): Command =>
  leaf<DevOptions>(
    run,
    {
      usage: 'kafka',
      summary: 'run Kafka and a registry of schemas until ctrl-C; needs Java 17 and Maven, or Docker',
      examples: [
        'dev kafka',
        'dev kafka --kafka-port 9092 --registry-port 8081',
        'dev kafka --dir /tmp/kafka',
      ],
      build: (command) =>
        command
          .option('--kafka-port <number>', "the broker's port; any free one unless given", aPort)
          .option('--registry-port <number>', "the registry's port; any free one unless given", aPort)
          .option('--dir <folder>', 'where topics and schemas are kept; in the data folder unless given'),
    },
    async ({ world, output }, { kafkaPort, registryPort, dir }) => {
      output.note('starting; the first time this fetches 190 MB');
      const pair = await world.devKafka({ kafkaPort, registryPort, dir });
      output.answer({ broker: pair.broker, registry_url: pair.registryUrl }, () =>
        [
          `export PROV_LEDGER_KAFKA_BROKERS=${pair.broker}`,
          `export PROV_LEDGER_REGISTRY_URL=${pair.registryUrl}`,
        ].join('\n'),
      );
      output.note('give these two lines to the shells that shall use them; ctrl-C ends both programs');
      return await untilStopped(
        { world, output },
        {
          drain: async () => await pair[Symbol.asyncDispose](),
        },
      );
    },
  );

export const devCommands = (run: Run): Command =>
  group('dev', 'other programs that a developer needs', [kafka(run)]);
