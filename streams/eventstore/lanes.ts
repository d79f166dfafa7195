// Appends waiting for their turn. A tenant's stream takes one append at a time; what comes meanwhile goes with the next
// one, up to a thousand facts and as many bytes as the server takes. Tenants do not wait for each other.
import type { TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import type { AppendRequest, AppendResult } from '#streams/stream.ts';
import type { WaitingAppend } from './commit.ts';

export interface LanesOptions {
  /** Settles every item. */
  readonly commit: (tenant: TenantId, items: readonly WaitingAppend[]) => Promise<void>;
  readonly maxFacts: number;
  /** Of one append, if it is of more than one request. */
  readonly maxBytes: number;
  readonly maxQueuedFacts: number;
}

export interface Lanes {
  readonly add: (request: AppendRequest) => Promise<AppendResult>;
  /** Refuses what is new, and waits for what is under way. */
  readonly close: () => Promise<void>;
}

/** Of an event beside the payload: its metadata, with the signature. */
const ENVELOPE_BYTES = 1_200;

const bytesOf = ({ drafts }: AppendRequest): number =>
  drafts.reduce((sum, { payload }) => sum + Buffer.byteLength(payload) + ENVELOPE_BYTES, 0);

export const lanes = ({ commit, maxFacts, maxBytes, maxQueuedFacts }: LanesOptions): Lanes => {
  const waiting = new Map<TenantId, WaitingAppend[]>();
  const running = new Map<TenantId, Promise<void>>();
  let queued = 0;
  let closed = false;
  const take = (tenant: TenantId): readonly WaitingAppend[] => {
    const lane = waiting.get(tenant) ?? [];
    let [count, facts, bytes] = [0, 0, 0];
    for (const { request } of lane) {
      facts += request.drafts.length;
      bytes += bytesOf(request);
      if (count > 0 && (facts > maxFacts || bytes > maxBytes)) break;
      count += 1;
    }
    const taken = lane.splice(0, count);
    for (const { request } of taken) queued -= request.drafts.length;
    return taken;
  };
  const drain = async (tenant: TenantId): Promise<void> => {
    // Whoever was answered by the append before and appends in the same turn shall be in this one.
    await new Promise((resolve) => setImmediate(resolve));
    for (let items = take(tenant); items.length > 0; items = take(tenant)) await commit(tenant, items);
    waiting.delete(tenant);
    running.delete(tenant);
  };
  return {
    add: (request) =>
      new Promise((settle, fail) => {
        const { tenant, drafts } = request;
        if (closed) return fail(new StreamError('closed', 'the store has been closed: make a new one'));
        if (queued + drafts.length > maxQueuedFacts)
          return fail(
            new StreamError('overloaded', `${queued} facts are waiting to be stored: repeat after a pause`),
          );
        const lane = waiting.get(tenant) ?? [];
        lane.push({ request, settle, fail });
        waiting.set(tenant, lane);
        queued += drafts.length;
        if (!running.has(tenant)) running.set(tenant, drain(tenant));
      }),
    close: async () => {
      closed = true;
      await Promise.all(running.values());
    },
  };
};
