// A batch of the driver as the piece that is stored: its messages read, and what lies before and between them counted.
import type { EachBatchPayload, KafkaMessage } from 'kafkajs';
import type { Piece, ReadMessage } from '#streams/postgres/transport/intake.ts';
import type { Message, Place } from '#streams/postgres/transport/message.ts';
import { type Consuming, spanOf, type Taking } from './consuming.ts';

// kafkajs has it, and its types do not say so.
export const fetchedOffset = (batch: EachBatchPayload['batch']): number =>
  Number((batch as unknown as { readonly fetchedOffset: string }).fetchedOffset);

export interface Gap {
  readonly absent: number;
  readonly lost: number;
}

const NO_GAP: Gap = { absent: 0, lost: 0 };

/**
 * What lies between the position and the first message: places of the log that hold none (marks of transactions, aborted
 * or compacted messages), or messages that retention has removed. `undefined` when the batch was fetched from elsewhere,
 * and the consumer has been sent back.
 */
export const gapBefore = async (
  state: Consuming,
  { place, its, messages, fetched }: Taking & { readonly fetched: number },
): Promise<Gap | undefined> => {
  const { next } = its.position;
  const first = Number(messages[0]?.offset);
  if (first === next) return NO_GAP;
  const low = (await spanOf(state, place))?.low ?? 0;
  if (low > next) {
    const lost = Math.min(low, first) - next;
    state.onEvent?.({ type: 'lost', ...place, messages: lost });
    return { lost, absent: first - next - lost };
  }
  if (fetched > next && its.sought !== next) {
    its.sought = next;
    state.consumer.seek({ ...place, offset: String(next) });
    return undefined;
  }
  return { lost: 0, absent: first - next };
};

export const pieceOf = async (
  { read }: Consuming,
  { place, its, messages, gap }: Taking & { readonly gap: Gap },
): Promise<Piece> => {
  const readMessages: ReadMessage[] = [];
  for (const raw of messages) {
    const message = messageOf(place, raw);
    const reading = read(message);
    // A promise only where the registry must be asked: awaiting each would cost more than decoding it.
    readMessages.push({ message, reading: reading instanceof Promise ? await reading : reading });
  }
  const next = Number(messages.at(-1)?.offset) + 1;
  const inside = next - Number(messages[0]?.offset) - messages.length;
  return {
    ...place,
    position: its.position,
    next,
    messages: readMessages,
    lost: gap.lost,
    absent: gap.absent + inside,
  };
};

export const messageOf = (
  { topic, partition }: Place,
  { offset, key, value, headers, timestamp }: KafkaMessage,
): Message => ({
  topic,
  partition,
  offset: Number(offset),
  key: key ?? undefined,
  value: value ?? undefined,
  headers: Object.entries(headers ?? {}).flatMap(([name, given]) =>
    (Array.isArray(given) ? given : [given]).flatMap((each) =>
      each === undefined ? [] : [[name, Buffer.from(each)] as const],
    ),
  ),
  sentAt: Number(timestamp),
});
