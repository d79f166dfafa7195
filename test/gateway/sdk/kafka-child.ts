// Keeps receipts in a spool that sends them to Kafka until it is killed, and names each on its output once it is kept.
import { writeSync } from 'node:fs';
import { kafkaReceipts } from '#gateway/sdk/kafka.ts';
import { openSpool } from '#gateway/sdk/spool.ts';

const [broker = '', registry = '', topic = '', folder = '', from = ''] = process.argv.slice(2);
const via = kafkaReceipts({
  kafka: { brokers: [broker], logLevel: 0 },
  registry: { url: registry },
  topic,
  tenant: 'acme',
});
const spool = openSpool({ via, folder, retry: { capMs: 20 }, onDelivered: () => writeSync(1, 'sent\n') });
const keep = async (n: number): Promise<void> => {
  await spool.record({ id: `r-${n}`, action: 'row.delete', actor: 'bob', decision: 'allow', inputs: { n } });
  writeSync(1, `${n}\n`);
};
for (let n = Number(from); ; n += 8)
  await Promise.all(Array.from({ length: 8 }, (_, index) => keep(n + index)));
