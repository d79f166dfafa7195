// What is put on record about messages, as requests for the transaction that does it.
import { messages } from '#commands/messages.ts';
import { draftsOf } from '#commands/run.ts';
import { OPERATORS } from '#commands/tenants.ts';
import { payloadHash } from '#proofs/chain.ts';
import type { Instant, TenantId } from '#schemas/ids.ts';
import type { MessageEvent } from '#schemas/messages.ts';
import type { ClaimHolder } from '#streams/postgres/together.ts';
import type { Message } from '#streams/postgres/transport/message.ts';
import type { UnstatedFlow } from '#streams/postgres/transport/statements.ts';
import type { AppendRequest } from '#streams/stream.ts';

/** Who records what is recorded by itself. */
export const INGESTING_ACTOR = 'prov-ledger kafka-ingest';

export interface About {
  readonly tenant: TenantId;
  readonly actor: string;
  readonly at: Instant;
  /** What makes two records the same one. */
  readonly key: string;
}

/** Throws a `RangeError` with the faults when the event does not fit its schema. */
export const recordAbout = (event: MessageEvent, about: About): AppendRequest => {
  const decision = messages.decide({ type: 'RecordAboutMessages', event }, undefined, about);
  if (decision.kind === 'refused') throw new RangeError(decision.refusal.message);
  return { tenant: about.tenant, drafts: draftsOf(decision.events, about), expect: { kind: 'any' } };
};

/** The fact, in the tenant's own chain, that a message's id stands for another receipt. */
export const conflictRecord = (
  message: Message,
  request: AppendRequest,
  first: ClaimHolder,
): AppendRequest => {
  const { topic, partition, offset } = message;
  const [draft] = request.drafts;
  const data = {
    topic,
    partition,
    offset,
    id: String((draft?.parsed as { readonly id?: unknown } | undefined)?.id),
    first_seq: first.seq,
    digest: payloadHash(draft?.payload ?? ''),
  };
  return recordAbout(
    { type: 'messages.MessageConflicted', data },
    {
      tenant: request.tenant,
      actor: INGESTING_ACTOR,
      at: Math.max(0, message.sentAt) as Instant,
      // Its digest too: a topic that was made anew has the same offsets again.
      key: `message-conflicted:${topic}:${partition}:${offset}:${data.digest}`,
    },
  );
};

/** The fact that states what became of an hour's messages. */
export const flowRecord = (row: UnstatedFlow, at: Instant): AppendRequest => {
  const { version, hour, ...counts } = row;
  const data = { ...counts, hour: hour.toISOString() };
  const { topic, partition } = row;
  const key = `flow-stated:${topic}:${partition}:${data.hour}:${version}`;
  return recordAbout(
    { type: 'messages.FlowStated', data },
    { tenant: OPERATORS, actor: INGESTING_ACTOR, at, key },
  );
};
