// Clients that watch a tenant's facts as server-sent events, from a process of their own; one of them takes nothing, and
// is let go while the others do not feel it. Runs until its parent says that the load is over.
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { quantile } from './harness.ts';

export interface WatchJob {
  readonly url: string;
  readonly token: string;
  readonly tenant: string;
  readonly clients: number;
}

export interface WatchResult {
  /** Facts that the clients got, all together; each of them counted once a client. */
  readonly delivered: number;
  readonly seconds: number;
  /** The least and the most that one of the clients got. */
  readonly least: number;
  readonly most: number;
  /** Milliseconds from recorded to received, of one fact in a hundred. */
  readonly p50: number;
  readonly p95: number;
  /** What the client that takes nothing found at the end of what it was sent. */
  readonly slowClient: string;
}

interface Watcher {
  facts: number;
}

const EVENT = Buffer.from('\nevent: fact\n');
const RECORDED_AT = /"recorded_at":"([^"]+)"/;
const SAMPLED = 100;
/** More than a last event and the chunk that it comes in. */
const LAST_EVENT_BYTES = 128 << 10;

const open = async ({ url, token, tenant }: WatchJob, query = ''): Promise<Socket> => {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.on('error', () => undefined);
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  socket.write(
    `GET /v1/ledger/${tenant}/tail${query} HTTP/1.1\r\nHost: ledger\r\nAuthorization: Bearer ${token}\r\n\r\n`,
  );
  return socket;
};

const watch = async (job: WatchJob, latencies: number[]): Promise<Watcher> => {
  const socket = await open(job);
  const watcher: Watcher = { facts: 0 };
  // Enough of the last chunk that an event's first line is never cut in two unseen.
  let rest = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    const bytes = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    let end = 0;
    for (let at = bytes.indexOf(EVENT); at >= 0; at = bytes.indexOf(EVENT, end)) {
      end = at + EVENT.length;
      watcher.facts += 1;
      if (watcher.facts % SAMPLED !== 0) continue;
      const recordedAt = RECORDED_AT.exec(bytes.toString('latin1', end, end + 4_096))?.[1];
      if (recordedAt) latencies.push(Date.now() - Date.parse(recordedAt));
    }
    rest = Buffer.from(bytes.subarray(Math.max(end, bytes.length - EVENT.length + 1)));
  });
  await new Promise((resolve) => socket.once('data', resolve));
  return watcher;
};

/** Longer than the service is patient, and shorter than it then waits for its last words to be taken. */
const SLEEP_MS = 15_000;

/** Asks for everything, takes nothing for a while, and then what is there. Says what came last. */
const sleeper = async (job: WatchJob): Promise<string> => {
  const socket = await open(job, '?from=1');
  socket.pause();
  await pause(SLEEP_MS);
  let tail = '';
  const ended = new Promise<string>((resolve) => {
    socket.on('data', (chunk) => {
      tail = (tail + chunk.toString('latin1')).slice(-LAST_EVENT_BYTES);
      const code = /event: end\ndata: .*"code":"([a-z-]+)"/.exec(tail)?.[1];
      if (code) resolve(code);
    });
    socket.once('close', () => resolve('closed without a word'));
    socket.resume();
  });
  const outcome = await Promise.race([ended, pause(5_000, 'still held')]);
  socket.destroy();
  return outcome;
};

const run = async (job: WatchJob): Promise<void> => {
  const latencies: number[] = [];
  const slow = sleeper(job);
  const watchers = await Promise.all(Array.from({ length: job.clients - 1 }, () => watch(job, latencies)));
  const from = performance.now();
  process.send?.('watching');
  await new Promise((resolve) => process.once('message', resolve));
  const seconds = (performance.now() - from) / 1_000;
  const counts = watchers.map(({ facts }) => facts);
  const result: WatchResult = {
    delivered: counts.reduce((sum, count) => sum + count, 0),
    seconds,
    least: Math.min(...counts),
    most: Math.max(...counts),
    p50: quantile(latencies, 0.5),
    p95: quantile(latencies, 0.95),
    slowClient: await slow,
  };
  process.send?.(result, () => process.exit());
};

await run(JSON.parse(process.argv[2] ?? '') as WatchJob);
