// prov-ledger kafka-ingest: the process that takes messages.
import type { Command } from 'commander';
import { leaf, type Run } from './command.ts';
import { untilStopped } from './running.ts';

export const kafkaIngestCommand = (run: Run): Command =>
  leaf(
    run,
    {
      usage: 'kafka-ingest',
      summary: 'take messages from Kafka into the ledger, until ctrl-C or SIGTERM, which drain',
      examples: ['kafka-ingest', 'kafka-ingest --json'],
    },
    async ({ world, output }) => {
      const intake = await world.kafkaIngest();
      output.answer(
        { operators_url: intake.operatorsUrl },
        () => `taking messages; health and figures on ${intake.operatorsUrl}`,
      );
      return await untilStopped({ world, output }, intake);
    },
  );
