// One rebuild in a process of its own, so that its peak memory is its own. Arguments: URL, read model.
import { projectors } from '#projectors/index.ts';
import { type Phase, rebuild } from '#projectors/postgres/rebuild/rebuild.ts';
import { connect, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { postgresStreamStore } from '#streams/postgres/store.ts';
import { testSigner } from '#test/support/test-signer.ts';

export interface RebuildOnce {
  readonly seconds: number;
  readonly facts: number;
  readonly rows: number;
  readonly peakMiB: number;
  /** Seconds by phase. */
  readonly phases: { readonly [phase in Phase]?: number };
}

const [url = '', name] = process.argv.slice(2);
const projector = projectors.find((each) => each.name === name);
if (!projector) throw new Error(`there is no read model ${name}`);
const pool = connect({ url, role: RUNTIME_ROLE });
const store = await postgresStreamStore({ pool, ...testSigner() });
const feed = postgresStreamFeed({ pool, pollOnly: true });
const phases: { [phase in Phase]?: number } = {};
let phase: Phase = 'filling';
let since = performance.now();
const { seconds, facts, rows } = await rebuild({
  pool,
  store,
  feed,
  projector,
  attest: async () => undefined,
  onProgress: ({ phase: now }) => {
    if (now === phase) return;
    phases[phase] = (phases[phase] ?? 0) + (performance.now() - since) / 1_000;
    [phase, since] = [now, performance.now()];
  },
});
await feed[Symbol.asyncDispose]();
await store[Symbol.asyncDispose]();
await pool.end();
const once: RebuildOnce = { seconds, facts, rows, phases, peakMiB: process.resourceUsage().maxRSS / 1_024 };
console.log(JSON.stringify(once));
