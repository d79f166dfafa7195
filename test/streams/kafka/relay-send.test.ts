import { expect } from 'chai';
import type { ProducerRecord, RecordMetadata } from 'kafkajs';
import type { Seq, Sha256 } from '#schemas/ids.ts';
import { AnewError, type Outgoing, sendFacts } from '#streams/kafka/relay-send.ts';
import type { Relayed } from '#streams/postgres/transport/relayed.ts';
import { acme, other } from '#test/contracts/ledger-adapter.ts';

const outgoing = (tenant: typeof acme, seq: number, bytes: number): Outgoing => ({
  tenant,
  seq: seq as Seq,
  hash: 'f'.repeat(64) as Sha256,
  partition: tenant === acme ? 0 : 1,
  message: { key: tenant, value: Buffer.alloc(bytes), headers: {} },
});

/** A broker that gives offsets, and what it was sent. */
const broker = (start = 0) => {
  const requests: ProducerRecord[] = [];
  const next = new Map<number, number>();
  const send = async (record: ProducerRecord): Promise<RecordMetadata[]> => {
    requests.push(record);
    const answers = new Map<number, number>();
    for (const { partition = 0 } of record.messages) {
      const offset = next.get(partition) ?? start;
      if (!answers.has(partition)) answers.set(partition, offset);
      next.set(partition, offset + 1);
    }
    return Array.from(answers, ([partition, offset]) => ({
      topicName: record.topic,
      partition,
      errorCode: 0,
      baseOffset: String(offset),
    }));
  };
  return { requests, send };
};

describe('streams/kafka/relay-send', () => {
  it('keeps the batch of each partition below what a broker takes, and notes where each tenant stands', async () => {
    const { requests, send } = broker(10);
    const noted: Relayed[] = [];
    const turn = { note: async (_: string, sent: readonly Relayed[]) => void noted.push(...sent) };
    const facts = Array.from({ length: 5 }, (_, n) => [
      outgoing(acme, n + 1, 400_000),
      outgoing(other, n + 1, 100),
    ]).flat();
    const offsets = new Map<number, number>();
    await sendFacts({ producer: { send }, topic: 'events', turn, offsets }, facts);
    expect(requests.map(({ messages }) => messages.length)).to.deep.equal([4, 4, 2]);
    expect(noted.map(({ tenant, seq, partition, offset }) => [tenant, seq, partition, offset])).to.deep.equal(
      [
        [acme, 5, 0, 14],
        [other, 5, 1, 14],
      ],
    );
    expect([...offsets]).to.deep.equal([
      [0, 14],
      [1, 14],
    ]);
  });

  it('says that the topic was made anew, and notes nothing of it', async () => {
    const { send } = broker(3);
    const noted: Relayed[] = [];
    const turn = { note: async (_: string, sent: readonly Relayed[]) => void noted.push(...sent) };
    const error = await sendFacts({ producer: { send }, topic: 'events', turn, offsets: new Map([[0, 7]]) }, [
      outgoing(acme, 9, 10),
    ]).catch((failure: unknown) => failure);
    expect(error).to.be.instanceOf(AnewError).and.to.include({ code: 'gap', partition: 0 });
    expect(noted).to.deep.equal([]);
  });
});
