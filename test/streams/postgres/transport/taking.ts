// Messages of receipts taken by an intake as a consumer hands them over, without a broker.
import { messageReader } from '#gateway/kafka/read-message.ts';
import { avroReader } from '#schemas/codec.ts';
import type { Instant } from '#schemas/ids.ts';
import type { Receipt } from '#schemas/receipts.ts';
import { type Subject, subjectOf } from '#schemas/registry/subjects.ts';
import type { Intake, Piece } from '#streams/postgres/transport/intake.ts';
import type { Message, Reader } from '#streams/postgres/transport/message.ts';
import type { Position } from '#streams/postgres/transport/positions.ts';
import { messageAt, receiptValue } from '#test/support/transport.ts';

export const TOPIC = 'provenance.receipts.v1';
export const place = { topic: TOPIC, partition: 0 };

const receipts = avroReader(
  JSON.parse((subjectOf('receipts.ReceiptRecorded') as Subject).schema),
  JSON.parse,
);

/** Schema 1 is that of receipts; 2 is not there until `learned` holds it; 3 is asked of a registry that is away. */
export const learned = new Set([1]);

/** After each test. */
export const forgetLearned = (): void => {
  learned.delete(2);
  learned.delete(3);
};

export const read: Reader = messageReader({
  schemas: {
    reader: (id) => (learned.has(id) ? receipts : undefined),
    learn: async (id) =>
      id === 3 ? { kind: 'unavailable', message: 'away' } : { kind: 'unknown', message: `no schema ${id}` },
  },
  eventsOf: () => ['receipts.ReceiptRecorded'],
  clock: Date.now as () => Instant,
});

export const message = (
  offset: number,
  receipt: Receipt,
  { key = 'acme', schema = 1, partition = 0 } = {},
): Message => messageAt(offset, { key: Buffer.from(key), value: receiptValue(receipt, schema), partition });

export const pieceOf = async (
  position: Position,
  messages: readonly Message[],
  partition = 0,
): Promise<Piece> => ({
  topic: TOPIC,
  partition,
  position,
  next: (messages.at(-1)?.offset ?? position.next - 1) + 1,
  absent: 0,
  lost: 0,
  messages: await Promise.all(messages.map(async (each) => ({ message: each, reading: await read(each) }))),
});

export const take = async (intake: Intake, ...messages: readonly Message[]) => {
  const position = await intake.open(place, messages[0]?.offset ?? 0);
  const [outcome] = await intake.commit([await pieceOf(position, messages)]);
  if (outcome?.kind !== 'stored') throw new Error('fenced');
  return outcome.counts;
};

export const counts = (given: object) => ({
  accepted: 0,
  duplicate: 0,
  conflict: 0,
  dead_lettered: 0,
  held: 0,
  ...given,
});
