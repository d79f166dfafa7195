// A process that rebuilds `tally` of the ledger in DATABASE_URL (its first argument) and, at the point named second, sends
// itself the signal named third; with `told` instead of a point it names each one that it passes. Ends with the code of the failure on standard output, or with `rebuilt`.
import type { RebuildPoint } from '#projectors/rebuild/points.ts';
import { tally } from '../tally.ts';
import { history } from './history.ts';

const [url = '', point, signal = 'SIGKILL', leaseMs = '10000'] = process.argv.slice(2);
let struck = false;
const past = await history({ url });
try {
  await past.rebuild(tally, {
    leaseMs: Number(leaseMs),
    at: (at: RebuildPoint) => {
      if (point === 'told') console.log(at);
      if (at !== point || struck) return;
      struck = true;
      process.kill(process.pid, signal as NodeJS.Signals);
    },
  });
  console.log('rebuilt');
} catch (error) {
  console.log((error as { code?: string }).code ?? String(error));
}
await past[Symbol.asyncDispose]();
