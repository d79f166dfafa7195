// Twenty kills by SIGKILL: of the ingesting process, of PostgreSQL, of both at once. Exit code 1 when a fact is lost,
// doubled or unsound.   node test/faults/kill.fault.ts [kills]
import { runKills, type Victim } from './kills.ts';

const kills = Number(process.argv[2] ?? 20);
const order: readonly Victim[] = ['process', 'postgres', 'process', 'postgres', 'both'];
const victims = Array.from({ length: kills }, (_, index) => order[index % order.length] as Victim);
const start = performance.now();
const figures = await runKills({ victims, afterMs: [150, 1_500], log: (line) => console.log(line) });
console.log(JSON.stringify({ ...figures, seconds: Math.round((performance.now() - start) / 1_000) }));
