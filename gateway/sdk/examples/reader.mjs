import { readFileSync } from 'node:fs';
import { ledgerReader } from '@prov-ledger/sdk';
import { Kafka } from 'kafkajs';

const [broker, events, heads, jwksFile, tenant] = process.argv.slice(2);
const reader = ledgerReader({ jwks: JSON.parse(readFileSync(jwksFile, 'utf8')) });
const consumer = new Kafka({ brokers: [broker], logLevel: 0 }).consumer({ groupId: `reader-${process.pid}` });
const signed = new Map();

await consumer.connect();
await consumer.subscribe({ topics: [events, heads], fromBeginning: true });
await consumer.run({
  eachMessage: async ({ topic, message }) => {
    if (topic === heads) signed.set(String(message.key), message.value);
    else {
      const taken = reader.take(message);
      if (taken.kind === 'gap')
        console.error(`${taken.tenant}: ask the ledger for ${taken.from} to ${taken.to}`);
      if (taken.kind === 'broken') console.error(`${taken.tenant}: ${taken.message}`);
    }
    // Whichever of the two topics comes first: complete is what reaches the signed head.
    const covered = await reader.covered(signed.get(tenant));
    if (covered.kind !== 'complete') return;
    console.log(`${tenant}: all ${covered.seq} facts, as they were signed`);
    setImmediate(() => void consumer.disconnect());
  },
});
