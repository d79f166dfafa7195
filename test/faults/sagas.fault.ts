// Worlds out of seeds, as many as are asked for: the nightly form of test/simulation/simulation.test.ts. A seed that fails is
// printed, and gives the same world again.   node test/faults/sagas.fault.ts [--seeds N] [--from N]
import { parseArgs } from 'node:util';
import { simulate } from '#test/simulation/simulate.ts';

const { values } = parseArgs({
  options: { seeds: { type: 'string', default: '10000' }, from: { type: 'string', default: '1' } },
});
const from = Number(values.from);
const until = from + Number(values.seeds);
const start = performance.now();
let facts = 0;
const EVERY = 250;
const progress = (done: number): void => {
  const perSecond = (done / (performance.now() - start)) * 1_000;
  const left = Math.ceil((until - from - done) / perSecond);
  console.log(`${done} of ${until - from} worlds, ${perSecond.toFixed(1)}/s, ${left} s left`);
};
for (let seed = from; seed < until; seed += 1) {
  try {
    facts += (await simulate(seed)).history.length;
  } catch (error) {
    console.error(`seed ${seed}: again with --from ${seed} --seeds 1`);
    throw error;
  }
  if ((seed - from + 1) % EVERY === 0) progress(seed - from + 1);
}
const seconds = Math.round((performance.now() - start) / 1_000);
console.log(JSON.stringify({ worlds: until - from, facts, seconds }));
