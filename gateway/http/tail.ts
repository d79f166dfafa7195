// GET /ledger/{tenant}/tail: the facts of a tenant as they are recorded, as server-sent events (WHATWG HTML, section
// 9.2). The id of an event is its seq, so a client that comes back with Last-Event-ID misses nothing. Nothing is read
// ahead of a client: what it does not take waits in the ledger, and one that takes nothing for a while is let go.
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import type { Seq, TenantId } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';
import type { Caller, Verdict } from './auth.ts';
import { tenantParameter } from './ledger.ts';
import type { Operation } from './operation.ts';
import { problemOf } from './problem-causes.ts';
import { problemDocument } from './problem-document.ts';
import { type Problem, problem } from './problems.ts';
import { isProblem, malformedQuery, queryReader } from './query.ts';
import { type Call, problemReply, type Reply } from './route.ts';
import { PAGE_FACTS, type Page, pageOf } from './tail-page.ts';
import type { WatchTenant } from './tail-ring.ts';

export const tailOperation = {
  id: 'tailLedger',
  subject: 'ledger',
  summary: "The tenant's facts as they are recorded, as server-sent events.",
  description:
    'Events of the type "fact" carry the fact, with its seq as id; a comment every 15 s keeps the connection open. The last event is of the type "end" and carries a problem that says why: come back with Last-Event-ID.',
  parameters: {
    tenant: tenantParameter,
    from: {
      in: 'query',
      description: 'begin with this seq; without it and without Last-Event-ID, with what is recorded next',
      schema: { type: 'string', pattern: '^[1-9][0-9]{0,14}$' },
      example: '1',
    },
    'Last-Event-ID': {
      in: 'header',
      description: 'begin after this seq; goes before "from"',
      schema: { type: 'string', pattern: '^[0-9]{1,15}$' },
    },
  },
  answers: {
    200: { description: 'The events.', media: [{ type: 'text/event-stream', schema: { type: 'string' } }] },
  },
  problems: ['other-tenant', 'query-malformed', 'too-slow'],
} as const satisfies Operation;

export interface TailParts {
  readonly store: Pick<StreamStore, 'head' | 'read'>;
  readonly watch: WatchTenant;
  /** Asked again before anything more is sent: a revoked token reads no further. */
  readonly stillMay: (authorization: string | undefined) => Verdict | Promise<Verdict>;
  /** Aborts when the process takes no more requests. */
  readonly ending: AbortSignal;
  /** A client that takes nothing for so long is let go; 10,000 unless told. */
  readonly patienceMs?: number;
  readonly fault: (error: unknown, requestId: string) => void;
}

const readQuery = queryReader(tailOperation);
const PATIENCE_MS = 10_000;
const HEARTBEAT_MS = 15_000;
/** How soon an idle client learns that it is to go. */
const LOOK_MS = 1_000;

export const getTail =
  (parts: TailParts) =>
  async (call: Call, { tenant }: Caller): Promise<Reply> => {
    if (call.params['tenant'] !== tenant)
      return problemReply(problem('other-tenant', `the token belongs to ${tenant}`), call.requestId);
    const values = readQuery(call.query);
    if (isProblem(values)) return problemReply(values, call.requestId);
    const head = (await parts.store.head(tenant))?.seq ?? (0 as Seq);
    const last =
      call.headers['last-event-id'] ?? (values['from'] ? String(Number(values['from']) - 1) : String(head));
    if (typeof last !== 'string' || !/^\d{1,15}$/.test(last) || Number(last) > head) {
      const fault = { pointer: '/Last-Event-ID', message: `lies behind the head, which is ${head}` };
      return problemReply(malformedQuery([fault]), call.requestId);
    }
    // Half of what a browser's or a proxy's socket holds: beyond it a client counts as not taking anything.
    const body = new PassThrough({ highWaterMark: 64 << 10 });
    void send(parts, { call, tenant, body, seen: Number(last) as Seq, head });
    return {
      status: 200,
      type: 'text/event-stream; charset=utf-8',
      headers: { 'cache-control': 'no-store', 'x-accel-buffering': 'no' },
      body,
    };
  };

interface Client {
  readonly call: Call;
  readonly tenant: TenantId;
  readonly body: PassThrough;
  seen: Seq;
  readonly head: Seq;
}

/** Never rejects. */
const send = async (parts: TailParts, client: Client): Promise<void> => {
  const { call, body } = client;
  try {
    const why = await deliver(parts, client);
    if (why) body.write(`event: end\ndata: ${JSON.stringify(problemDocument(why, call.requestId))}\n\n`);
  } catch (error) {
    parts.fault(error, call.requestId);
    body.write(`event: end\ndata: ${JSON.stringify(problemDocument(problemOf(error), call.requestId))}\n\n`);
  }
  body.end();
  // Whoever does not take the last event either keeps nothing here.
  if (!(await happened(body, 'close', parts.patienceMs))) body.destroy();
};

/** Why the client is let go; `undefined` when it went by itself. */
const deliver = async (parts: TailParts, client: Client): Promise<Problem | undefined> => {
  const { call, tenant, body, head } = client;
  const { store, watch, stillMay, ending, patienceMs = PATIENCE_MS } = parts;
  using watching = watch(tenant, head);
  let quietMs = 0;
  // Sends the headers at once, also when nothing is recorded for long.
  body.write(': here\n\n');
  while (!body.destroyed) {
    if (ending.aborted) return problem('shutting-down', 'this process takes no more requests');
    const verdict = await stillMay(String(call.headers['authorization']));
    if ('problem' in verdict) return verdict.problem;
    if (watching.failure()) throw watching.failure();
    const held = watching.after(client.seen);
    const page = held === 'lost' ? await stored(store, client) : held;
    if (page === undefined || page === 'nothing') {
      await watching.more(LOOK_MS);
      quietMs += LOOK_MS;
      if (quietMs >= HEARTBEAT_MS) body.write(': still here\n\n');
      quietMs %= HEARTBEAT_MS;
      continue;
    }
    quietMs = 0;
    client.seen = page.last;
    if (!body.write(page.text) && !(await happened(body, 'drain', patienceMs)))
      return body.destroyed ? undefined : problem('too-slow', `nothing was taken for ${patienceMs} ms`);
  }
  return undefined;
};

const stored = async (store: TailParts['store'], { tenant, seen }: Client): Promise<Page | undefined> => {
  const range = { from: (seen + 1) as Seq, to: (seen + PAGE_FACTS) as Seq, pageSize: PAGE_FACTS };
  for await (const facts of store.read(tenant, range)) return pageOf(facts);
  return undefined;
};

const happened = async (body: PassThrough, what: 'drain' | 'close', ms = PATIENCE_MS): Promise<boolean> => {
  try {
    if (!body.closed) await once(body, what, { signal: AbortSignal.timeout(ms) });
    return true;
  } catch {
    return false;
  }
};
