// The signed head of each tenant out to ledger.heads.v1, compacted to the last one: how far a reader of ledger.events.v1
// must have come. A head is announced after the facts up to it, so whoever has a head may ask for them.

import { setTimeout as pause } from 'node:timers/promises';
import type { Producer } from 'kafkajs';
import { proofDocument } from '#proofs/bundle.ts';
import type { TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import type { Relayed, RelayTurn } from '#streams/postgres/transport/relayed.ts';
import type { StreamStore } from '#streams/stream.ts';
import { kafkaError } from './errors.ts';
import type { RelayEvent } from './relay-event.ts';

export interface HeadsOptions {
  readonly producer: Pick<Producer, 'send'>;
  readonly turn: RelayTurn;
  readonly topic: string;
  readonly store: Pick<StreamStore, 'ledgerId' | 'proof'>;
  /** What the topic of facts has, and what was announced, at the start. */
  readonly sent: readonly Relayed[];
  readonly announced: readonly Relayed[];
  readonly headsEveryMs?: number;
  readonly onEvent?: (event: RelayEvent) => void;
}

export interface HeadsPublisher {
  readonly note: (sent: readonly Relayed[]) => void;
  /** Aborts when heads cannot be announced. */
  readonly failed: AbortSignal;
  /** Announces what is left. Throws `KafkaError` or `StreamError`, also of an earlier failure. */
  readonly stop: () => Promise<void>;
}

const AT_ONCE = 500;

export const publishHeads = (options: HeadsOptions): HeadsPublisher => {
  const { sent, announced, headsEveryMs = 1_000 } = options;
  const ending = new AbortController();
  const failing = new AbortController();
  const known = new Map(announced.map(({ tenant, seq }) => [tenant, seq]));
  const waiting = new Map<TenantId, Relayed>();
  const note = (more: readonly Relayed[]): void => {
    for (const each of more) if (each.seq > (known.get(each.tenant) ?? 0)) waiting.set(each.tenant, each);
  };
  note(sent);
  const run = async (): Promise<void> => {
    for (;;) {
      await pause(headsEveryMs, undefined, { signal: ending.signal }).catch(() => undefined);
      const last = ending.signal.aborted;
      while (waiting.size > 0) {
        const some = [...waiting.values()].slice(0, AT_ONCE);
        for (const { tenant, seq } of some) {
          waiting.delete(tenant);
          known.set(tenant, seq);
        }
        await announce(options, some);
      }
      if (last) return;
    }
  };
  const running = run().catch((error: unknown) => {
    failing.abort();
    throw error instanceof StreamError ? error : kafkaError(error);
  });
  running.catch(() => undefined);
  return {
    note,
    failed: failing.signal,
    stop: async () => {
      ending.abort();
      await running;
    },
  };
};

const announce = async (
  { producer, topic, turn, store, onEvent }: HeadsOptions,
  heads: readonly Relayed[],
): Promise<void> => {
  const messages = [];
  const whole: Relayed[] = [];
  for (const head of heads) {
    const { tenant, seq, hash } = head;
    const signed = await store.proof(tenant, seq);
    if (!signed)
      throw new StreamError('corrupt', `${tenant}/${seq} was sent and is not in the store any more`);
    // In the midst of a commit: whoever restores from the topic could prove none of it.
    if (signed.path.factIndex + 1 < signed.path.factCount) continue;
    const document = {
      version: 1,
      ledger_id: store.ledgerId,
      tenant,
      seq,
      hash,
      proof: proofDocument(signed),
    };
    messages.push({ key: tenant, value: JSON.stringify(document) });
    whole.push(head);
  }
  if (whole.length === 0) return;
  const [answer] = await producer.send({ topic, acks: -1, messages });
  const partition = answer?.partition ?? 0;
  const base = Number(answer?.baseOffset ?? 0);
  await turn.note(
    topic,
    whole.map((head, index) => ({ ...head, partition, offset: base + index })),
  );
  onEvent?.({ type: 'heads', tenants: whole.length });
};
