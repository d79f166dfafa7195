// What is put on record about messages. Pure inserts: each states what has been done or seen, and nothing recorded before
// can forbid it.
import type { Fault } from '#schemas/event.ts';
import { faultsOf } from '#schemas/index.ts';
import type { MessageEvent } from '#schemas/messages.ts';
import { accept, type Decider, type Refusal } from './decider.ts';

export interface RecordAboutMessages {
  readonly type: 'RecordAboutMessages';
  readonly event: MessageEvent;
}

export type MessageRefusal = Refusal<'MalformedRecord'> & { readonly faults: readonly Fault[] };

export const messages: Decider<RecordAboutMessages, undefined, MessageEvent, MessageRefusal> = {
  domain: 'messages',
  initial: undefined,
  evolve: (state) => state,
  decide: ({ event }) => {
    const faults = faultsOf(event.type, 1, event.data);
    if (faults.length === 0) return accept<MessageEvent>({ event });
    const message = faults.map((fault) => `${fault.pointer} ${fault.message}`).join('; ');
    return { kind: 'refused', refusal: { refusal: 'MalformedRecord', message, faults } };
  },
};
