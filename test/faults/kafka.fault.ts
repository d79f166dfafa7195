// Messages with duplicates and poison while everything around them is harmed. Exit code 1 when a message is lost, doubled
// or out of order, the counts do not add up, or topics and read models say something else than the ledger.
//   node test/faults/kafka.fault.ts [messages] [harms]
import { javaParts } from '#deploy/dev/parts.ts';
import { type KafkaVictim, runKafkaKills, VICTIMS } from './kafka-kills.ts';

const messages = Number(process.argv[2] ?? 200_000);
const harms = Number(process.argv[3] ?? 20);
// Whole processes most often, as they are in life.
const order = VICTIMS.flatMap((victim): readonly KafkaVictim[] => ['group', victim]);
const figures = await runKafkaKills({
  parts: await javaParts(),
  messages,
  victims: Array.from({ length: harms }, (_, index) => order[index % order.length] as KafkaVictim),
  random: Math.random,
  log: (line) => console.log(line),
});
console.log(JSON.stringify(figures));
// The driver may hold on to a socket of a broker that was killed.
process.exit();
