// Why a saga did what it did, fact by fact: its history folded again, with what followed looked up under its id. It needs
// no record of its own, and shows the same whoever ran the saga, and when.
import type { Fact } from '#schemas/event.ts';
import type { Instant, Seq, TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import type { StreamStore } from '#streams/stream.ts';
import { type AnySaga, type Reaction, reactionId } from './saga.ts';

export interface TracedReaction {
  readonly reaction: Reaction;
  /** The fact it came to; absent where it was refused, muted, or is still to come. */
  readonly recorded?: { readonly seq: Seq; readonly type: string };
}

export interface TracedFact {
  readonly seq: Seq;
  readonly type: string;
  readonly recordedAt: Instant;
  readonly actor: string;
  readonly data: unknown;
  readonly before: unknown;
  readonly after: unknown;
  readonly reactions: readonly TracedReaction[];
}

export interface TraceOptions {
  readonly store: Pick<StreamStore, 'read' | 'find'>;
  readonly saga: AnySaga;
  readonly tenant: TenantId;
  readonly key: string;
}

/** In the order of the facts. Throws `StreamError`, `UndecodableFact`, and what a fold throws. */
export const traceSaga = async function* ({
  store,
  saga,
  tenant,
  key,
}: TraceOptions): AsyncGenerator<TracedFact> {
  let before: unknown = saga.initial;
  for await (const page of store.read(tenant)) {
    for (const recorded of page) {
      if (!saga.handles.includes(recorded.type)) continue;
      const fact = decodeFact(recorded) as Fact;
      if (saga.key(fact) !== key) continue;
      const after: unknown = saga.fold(before, fact);
      const reactions: TracedReaction[] = [];
      for (const [index, reaction] of saga.react({ before, after, fact }).entries()) {
        const found = await store.find(tenant, reactionId(saga.name, fact.id, index));
        reactions.push({ reaction, ...(found && { recorded: { seq: found.seq, type: found.type } }) });
      }
      const { seq, type, recordedAt, actor, data } = fact;
      yield { seq, type, recordedAt, actor, data, before, after, reactions };
      before = after;
    }
  }
};
