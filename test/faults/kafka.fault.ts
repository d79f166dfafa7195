// Messages with duplicates and poison while everything around them is killed. Exit code 1 when a message is lost,
// doubled or out of order, or the counts do not add up.   node test/faults/kafka.fault.ts [messages] [kills]
import { javaParts } from '#deploy/dev/parts.ts';
import { type KafkaVictim, runKafkaKills } from './kafka-kills.ts';

const messages = Number(process.argv[2] ?? 200_000);
const kills = Number(process.argv[3] ?? 20);
const order: readonly KafkaVictim[] = ['ingest', 'group', 'postgres', 'group', 'broker', 'group'];
const victims = Array.from({ length: kills }, (_, index) => order[index % order.length] as KafkaVictim);
const figures = await runKafkaKills({
  parts: await javaParts(),
  messages,
  victims,
  random: Math.random,
  log: (line) => console.log(line),
});
console.log(JSON.stringify(figures));
// The driver may hold on to a socket of a broker that was killed.
process.exit();
