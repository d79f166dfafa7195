// What one write sends to a watching client. Made once, however many clients get it: writing the same fact as JSON for
// each of two hundred costs more than storing it.
import { factDocument } from '#proofs/bundle.ts';
import type { Recorded } from '#schemas/event.ts';
import type { Seq } from '#schemas/ids.ts';

export interface Page {
  /** Whole server-sent events. */
  readonly text: Buffer;
  /** The seq of the last of them. */
  readonly last: Seq;
}

/** Facts of one write at most. */
export const PAGE_FACTS = 200;

// JSON has no line feed outside its strings, and none inside them.
export const eventText = (fact: Recorded): string =>
  `id: ${fact.seq}\nevent: fact\ndata: ${JSON.stringify(factDocument(fact))}\n\n`;

/** `undefined` of no facts. */
export const pageOf = (facts: readonly Recorded[]): Page | undefined => {
  const sent = facts.slice(0, PAGE_FACTS);
  const last = sent.at(-1)?.seq;
  return last === undefined ? undefined : { text: Buffer.from(sent.map(eventText).join('')), last };
};
