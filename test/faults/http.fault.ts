// Two hundred kills by SIGKILL under open-loop HTTP load: of the service, of PostgreSQL, of both at once. Exit code 1
// when a receipt is lost, doubled, answered in two ways, or the service does not come back.
//
//   node test/faults/http.fault.ts [--kills N] [--rate requests/s]
import { parseArgs } from 'node:util';
import { runHttpKills, type Victim } from './http-kills.ts';

const { values } = parseArgs({
  options: { kills: { type: 'string', default: '200' }, rate: { type: 'string', default: '150' } },
});
const kills = Number(values.kills);
const rate = Number(values.rate);
if (!(Number.isInteger(kills) && kills > 0 && rate > 0))
  throw new Error('give --kills and --rate as positive numbers');
const order: readonly Victim[] = ['service', 'postgres', 'service', 'postgres', 'both'];
const victims = Array.from({ length: kills }, (_, index) => order[index % order.length] as Victim);
const start = performance.now();
const figures = await runHttpKills({
  victims,
  afterMs: [100, 1_500],
  rate,
  wholeEvery: 10,
  log: (line) => console.log(line),
});
console.log(JSON.stringify({ ...figures, seconds: Math.round((performance.now() - start) / 1_000) }));
