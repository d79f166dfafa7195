// Topics that were deleted and made anew are taken from their beginning: what they hold now has other messages at the
// offsets already taken (docs/decisions/0040, 0048).

import { messageHash, type Place } from '#streams/postgres/transport/message.ts';
import { type Consuming, goOn, type Partition, spanOf, type Taking } from './consuming.ts';
import type { Span } from './ends.ts';
import { messageOf } from './piece.ts';

const LOOK_AGAIN_AFTER_MS = 1_000;

interface Anew {
  readonly place: Place;
  readonly its: Partition;
  readonly span: Span;
}

/**
 * What the topic holds now has other messages at the offsets already taken. A receipt that was on both has the same id, and
 * counts once.
 */
export const beginAnew = async (
  { intake, onEvent }: Consuming,
  { place, its, span }: Anew,
): Promise<void> => {
  onEvent?.({ type: 'anew', ...place, position: its.position.next, end: span.end });
  its.position = await intake.beginAnew(place, its.position, span.low);
  its.end = span.end;
};

/** True when the topic was made anew, and the consumer was sent to where it is to go on. */
export const foundAnew = async (state: Consuming, place: Place, its: Partition): Promise<boolean> => {
  const span = await spanOf(state, place);
  // The word of one batch is not enough: a leader that has just taken over may lag behind what was committed.
  if (!span || its.position.next <= span.end) return false;
  await beginAnew(state, { place, its, span });
  goOn(state, { place, its });
  return true;
};

/**
 * True when another message stands in the place of the last one that was taken, or when that is to be looked at first: no
 * batch came for a while, in which the topic may have been made anew. The consumer was sent there.
 */
export const foundAnother = async (state: Consuming, { place, its, messages }: Taking): Promise<boolean> => {
  const { next, last } = its.position;
  const there = messages.find(({ offset }) => Number(offset) >= next - 1);
  const idleMs = performance.now() - its.cameAt;
  its.cameAt = performance.now();
  if (!last || !there) return false;
  if (Number(there.offset) !== next - 1) {
    // Where nothing stands there any more, looking twice would show no more.
    if (idleMs < LOOK_AGAIN_AFTER_MS || its.looked === next) return false;
    its.looked = next;
    goOn(state, { place, its });
    return true;
  }
  its.looked = next;
  if (messageHash(messageOf(place, there)).equals(last)) return false;
  const span = await spanOf(state, place);
  if (!span) return false;
  await beginAnew(state, { place, its, span });
  goOn(state, { place, its });
  return true;
};
