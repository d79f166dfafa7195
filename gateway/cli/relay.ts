// prov-ledger kafka-relay: the process that sends the ledger to Kafka.
import type { Command } from 'commander';
import { leaf, type Run } from './command.ts';
import { untilStopped } from './running.ts';

export const kafkaRelayCommand = (run: Run): Command =>
  leaf(
    run,
    {
      usage: 'kafka-relay',
      summary:
        'send every fact to ledger.events.v1 and signed heads to ledger.heads.v1, in order, until ctrl-C; of several, one sends',
      examples: ['kafka-relay', 'kafka-relay --json'],
    },
    async ({ world, output }) => {
      const relay = await world.kafkaRelay();
      output.answer(
        { operators_url: relay.operatorsUrl },
        () => `relaying; figures at ${relay.operatorsUrl}`,
      );
      return await untilStopped({ world, output }, relay);
    },
  );
