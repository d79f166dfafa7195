import { kafkaReceipts } from '@prov-ledger/sdk/kafka';
import { openSpool } from '@prov-ledger/sdk/spool';

const [broker, registry, topic, folder] = process.argv.slice(2);
const via = kafkaReceipts({
  kafka: { brokers: [broker], logLevel: 0 },
  registry: { url: registry },
  topic,
  tenant: 'acme',
});
const spool = openSpool({
  via,
  folder,
  onRefused: (receipt, error) => console.error(`${receipt.id} was refused: ${error.message}`),
});

for (let row = 1; row <= 3; row += 1) {
  const { id } = await spool.record({
    action: 'row.delete',
    actor: 'bob',
    decision: 'allow',
    inputs: { row },
  });
  console.log(`${id} is kept`);
}

await spool.drained({ signal: AbortSignal.timeout(30_000) });
console.log(spool.status().drained ? 'all sent' : `still waiting: ${spool.status().trouble?.message}`);
await spool.close();
await via.close();
