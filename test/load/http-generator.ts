// Load on a service, from a process of its own. Closed loop: each connection sends its next request when it has the
// answer. Open loop: requests are due at fixed times whatever the service does, and a latency counts from the time at
// which the request was due, so that a stall is felt by everyone who would have come during it.
import { setTimeout as pause } from 'node:timers/promises';
import { quantile } from './harness.ts';
import { type HttpConnection, httpConnection } from './http-connection.ts';
import { receiptTexts } from './receipts.ts';

export interface LoadJob {
  readonly url: string;
  readonly token: string;
  readonly tenant: string;
  readonly connections: number;
  readonly seconds: number;
  /** Before the figures count. */
  readonly warmupSeconds: number;
  /** Requests a second, open loop; absent: closed loop. */
  readonly rate?: number;
  /** Receipts in a request; more than one makes it NDJSON. */
  readonly lines: number;
}

export interface LoadResult {
  /** Answered within the time that counts. */
  readonly requests: number;
  /** Receipts acknowledged in all, the warm-up included. */
  readonly recordedInAll: number;
  /** Receipts acknowledged a second. */
  readonly perSecond: number;
  /** Requests by status, and those without an answer as "failed". */
  readonly statuses: { readonly [status: string]: number };
  /** Milliseconds, of answers that recorded something. */
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

const TEXTS = 2_000;

/** Receipts whose ids never repeat, in the order of time. */
const bodies = (tenant: string, lines: number): (() => string) => {
  const parts = [...receiptTexts({ tenant, count: TEXTS })].map((text) => {
    const at = text.indexOf('"id":"') + 6;
    return [text.slice(0, at), text.slice(at + 36)] as const;
  });
  const mine = process.pid.toString(16).padStart(8, '0').slice(-8);
  let count = 0;
  const one = (): string => {
    count += 1;
    const ms = Date.now().toString(16).padStart(12, '0');
    const [before, after] = parts[count % TEXTS] as readonly [string, string];
    const low = count.toString(16).padStart(8, '0');
    return `${before}${ms.slice(0, 8)}-${ms.slice(8)}-7${low.slice(0, 3)}-a${low.slice(3, 6)}-${low.slice(6)}00${mine}${after}`;
  };
  if (lines === 1) return one;
  return () => {
    let body = '';
    for (let line = 0; line < lines; line += 1) body += `${one()}\n`;
    return body;
  };
};

const RECORDED = Buffer.from('"status":"recorded"');

const recordedIn = (status: number, body: Buffer, lines: number): number => {
  if (lines === 1) return status === 201 ? 1 : 0;
  let count = 0;
  for (let at = body.indexOf(RECORDED); at >= 0; at = body.indexOf(RECORDED, at + RECORDED.length))
    count += 1;
  return count;
};

const tally = (job: LoadJob) => {
  const startedAt = performance.now();
  const from = startedAt + job.warmupSeconds * 1_000;
  const until = from + job.seconds * 1_000;
  const statuses: Record<string, number> = {};
  const latencies: number[] = [];
  let [requests, recorded, recordedInAll] = [0, 0, 0];
  const quantileOf = (share: number): number => (latencies.length > 0 ? quantile(latencies, share) : 0);
  return {
    startedAt,
    until,
    add: (status: string, receipts: number, dueAt: number): void => {
      const now = performance.now();
      recordedInAll += receipts;
      if (now < from || now > until) return;
      statuses[status] = (statuses[status] ?? 0) + 1;
      requests += 1;
      recorded += receipts;
      if (receipts > 0) latencies.push(now - dueAt);
    },
    result: (): LoadResult => ({
      requests,
      recordedInAll,
      perSecond: recorded / job.seconds,
      statuses,
      p50: quantileOf(0.5),
      p95: quantileOf(0.95),
      p99: quantileOf(0.99),
      max: quantileOf(1),
    }),
  };
};

const run = async (job: LoadJob): Promise<LoadResult> => {
  const { url, token, connections, rate, lines } = job;
  const type = lines === 1 ? 'application/json' : 'application/x-ndjson';
  const head = `POST /v1/receipts HTTP/1.1\r\nHost: ledger\r\nAuthorization: Bearer ${token}\r\nContent-Type: ${type}\r\n`;
  const body = bodies(job.tenant, lines);
  const open = await Promise.all(Array.from({ length: connections }, () => httpConnection(url)));
  const counted = tally(job);
  const { startedAt, until, add } = counted;
  let due = 0;
  let dueSoFar = 0;
  const idle: (() => void)[] = [];
  const send = async (connection: HttpConnection, dueAt: number): Promise<void> => {
    try {
      const answer = await connection.send(head, body());
      add(String(answer.status), recordedIn(answer.status, answer.body, lines), dueAt);
    } catch {
      add('failed', 0, dueAt);
      // A generator whose connection is gone says so and goes on with the others.
      await pause(100);
    }
  };
  const closedLoop = async (connection: HttpConnection): Promise<void> => {
    while (performance.now() < until) await send(connection, performance.now());
  };
  const openLoop =
    (perSecond: number) =>
    async (connection: HttpConnection): Promise<void> => {
      while (performance.now() < until) {
        if (due >= dueSoFar) await new Promise<void>((wake) => idle.push(wake));
        else await send(connection, startedAt + (due++ / perSecond) * 1_000);
      }
    };
  const clock = async (perSecond: number): Promise<void> => {
    while (performance.now() < until) {
      dueSoFar = Math.floor(((performance.now() - startedAt) / 1_000) * perSecond) + 1;
      for (let free = Math.min(dueSoFar - due, idle.length); free > 0; free -= 1) idle.pop()?.();
      await pause(1);
    }
    for (const wake of idle.splice(0)) wake();
  };
  await Promise.all([
    ...open.map(rate === undefined ? closedLoop : openLoop(rate)),
    ...(rate === undefined ? [] : [clock(rate)]),
  ]);
  for (const connection of open) connection.end();
  return counted.result();
};

console.log(JSON.stringify(await run(JSON.parse(process.argv[2] ?? '') as LoadJob)));
