// Batches made ready while the one before is still on its way to disk: each fact is sealed as it comes, behind facts that
// are not yet durable, on the assumption that they will be. Only for what needs no question to the database, pure inserts behind a head this
// process knows; everything else, and everything after a failure, goes the sure way (commit.ts).
import type { QueuedAppend } from './append-queue.ts';
import {
  type CommitState,
  doubt,
  type ReadyBatch,
  readyBatch,
  rememberHeads,
  settleBatch,
} from './commit.ts';
import { isConnectionFailure, withClient } from './connect.ts';
import { openPlan } from './plan.ts';

/** A batch that grows. */
export interface OpenBatch {
  readonly items: readonly QueuedAppend[];
  readonly facts: () => number;
  /** Seals the requests behind those that are in. */
  add(items: readonly QueuedAppend[]): void;
  /** Signed and put into its wire form; `undefined` when the requests must go the sure way. */
  close(): Promise<ReadyBatch | undefined>;
}

export interface Ahead {
  /** Behind the heads as this process knows them. */
  readonly open: () => OpenBatch;
  /** False when it is not known to be durable: its requests, and those of batches sealed behind it, go the sure way. */
  readonly store: (ready: ReadyBatch) => Promise<boolean>;
  /** Answers the requests of a batch that `store` found durable, in so many seconds. */
  readonly settle: (ready: ReadyBatch, seconds: number) => void;
  /** Forgets the heads of a batch that did not become durable, or was never sent. */
  readonly forget: (ready: ReadyBatch) => void;
}

export const committingAhead = (state: CommitState): Ahead => {
  const forget = ({ plan }: ReadyBatch): void => {
    for (const { head } of plan.tenants) state.known.delete(head.tenant);
  };
  return {
    forget,
    settle: (ready, seconds) => settleBatch(state, ready, seconds),
    open: () => openBatch(state),
    store: async (ready) => {
      let sent = false;
      try {
        await withClient(state.pool, (client) => {
          sent = true;
          return ready.send(client);
        });
        return true;
      } catch (error) {
        if (sent && isConnectionFailure(error)) doubt(ready.plan);
        // Whatever it was, the sure way meets it again and knows what to do about it.
        forget(ready);
        return false;
      }
    },
  };
};

const openBatch = (state: CommitState): OpenBatch => {
  const { known, clock, numbers } = state;
  const plan = openPlan<QueuedAppend>({
    requestOf: (item) => item.request,
    heads: known,
    revisions: new Map(),
  });
  const items: QueuedAppend[] = [];
  let plain = true;
  let facts = 0;
  const isPlain = ({ request: { expect, tenant } }: QueuedAppend): boolean =>
    expect.kind === 'any' && (known.get(tenant)?.seq ?? 0) > 0;
  return {
    items,
    facts: () => facts,
    add: (more) => {
      const now = clock();
      for (const item of more) {
        items.push(item);
        facts += item.request.drafts.length;
        plain &&= isPlain(item) && plan.add(item, now) === 'planned';
      }
    },
    close: async () => {
      const batchNo = plain && facts > 0 ? numbers.atHand() : undefined;
      if (batchNo === undefined) return undefined;
      const whole = plan.plan();
      // A signer that fails is the sure way's to report.
      const ready = await readyBatch(state, whole, batchNo).catch(() => undefined);
      if (ready) rememberHeads(state, whole);
      return ready;
    },
  };
};
