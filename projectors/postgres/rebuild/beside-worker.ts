// A thread that replays tenants' histories for a rebuild: every hash and every link from the bytes of the rows, every fact
// folded by itself.
import { parentPort, workerData } from 'node:worker_threads';
import { projectors } from '#projectors/index.ts';
import { hashedRows } from '#projectors/rebuild/hash-set.ts';
import { plainFold } from '#projectors/rebuild/replay.ts';
import { CHAIN_START, GENESIS_HASH } from '#proofs/chain.ts';
import type { Seq } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import { connect, RUNTIME_ROLE, withClient } from '#streams/postgres/connect.ts';
import { type RawRows, readRawPage } from '#streams/postgres/reader.ts';
import { readCopyRow } from '#streams/postgres/rows.ts';
import { rowCheck } from '#streams/postgres/verify/row-check.ts';
import { typeOf } from '#streams/postgres/verify/row-layout.ts';
import type { FromReplay, ReplayedBeside, ReplayTask, ReplayThread } from './beside.ts';

const PAGE = 5_000;

const port = parentPort;
if (!port) throw new Error('projectors/postgres/rebuild/beside-worker.ts runs in a worker thread only');
const { url, projection } = workerData as ReplayThread;
const projector = projectors.find(({ name }) => name === projection);
if (!projector) throw new Error(`there is no read model ${projection}`);
const handled: ReadonlySet<string> = new Set(projector.handles);
const pool = connect({ url, max: 2, role: RUNTIME_ROLE, name: 'prov-ledger replay' });

const pageFrom = ({ tenant, tenantNo, to }: ReplayTask, from: number): Promise<readonly RawRows[]> =>
  withClient(pool, (client) =>
    readRawPage(client, {
      head: { tenant, tenantNo },
      from: from as Seq,
      to: Math.min(to, from + PAGE - 1) as Seq,
    }),
  );

/** `undefined` where the chain does not hold, or the fold refuses a fact: the rebuild looks into it and says why. */
const replayed = async (task: ReplayTask): Promise<ReplayedBeside | undefined> => {
  const { tenant, to, skips } = task;
  const hashed = hashedRows(projector, tenant);
  const { rows, take } = plainFold({ projector, skips, decode: decodeFact, onRow: hashed.add });
  const check = rowCheck(tenant, CHAIN_START);
  const holds = (bytes: Buffer, at: number): boolean =>
    check.next() === undefined &&
    (!handled.has(typeOf(bytes, at)) ||
      take(readCopyRow(bytes, at, tenant, GENESIS_HASH).fact) === undefined);
  let next = pageFrom(task, 1);
  for (let from = 1; from <= to; from += PAGE) {
    const page = await next;
    if (from + PAGE <= to) next = pageFrom(task, from + PAGE);
    // Awaited in the next round, or never when this one comes to nothing.
    next.catch(() => undefined);
    for (const chunk of page) {
      check.take(chunk);
      for (const at of chunk.rows) if (!holds(chunk.bytes, at)) return undefined;
    }
  }
  for (const row of rows.values()) hashed.add(row);
  const hashes = hashed.hashes();
  const { seq, hash } = check.position();
  return { seq, hash, rows: hashes.count(), digest: hashes.digest() };
};

// One tenant after the other.
let last = Promise.resolve();
port.on('message', (task: ReplayTask) => {
  last = last.then(async () => {
    const done = await replayed(task).catch(() => undefined);
    port.postMessage({ tenant: task.tenant, done } satisfies FromReplay);
  });
});
