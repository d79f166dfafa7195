import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import type { Producer } from 'kafkajs';
import { messageReader } from '#gateway/kafka/read-message.ts';
import { type Instant, tenantId } from '#schemas/ids.ts';
import { type Subject, subjectOf } from '#schemas/registry/subjects.ts';
import { topicsAdmin } from '#streams/kafka/admin.ts';
import { type KafkaConnection, kafkaConnection } from '#streams/kafka/connect.ts';
import { type Consumption, consumeMessages } from '#streams/kafka/consume.ts';
import type { ConsumptionEvent } from '#streams/kafka/consuming.ts';
import { publishDeadLetters } from '#streams/kafka/dead-letters.ts';
import { wireSchemas } from '#streams/kafka/registry.ts';
import { declared } from '#streams/kafka/topics.ts';
import { readFlow, readPartitions } from '#streams/postgres/transport/flow.ts';
import type { Reader } from '#streams/postgres/transport/message.ts';
import { type KafkaPair, kafkaPair } from '#test/support/kafka.ts';
import { expectLedgerSound } from '#test/support/ledger-sound.ts';
import { makeAnew, ownPrefix, removeWhatIsThere } from '#test/support/topics.ts';
import { aReceipt, receiptValue, type TransportLedger, transportLedger } from '#test/support/transport.ts';

const acme = tenantId('acme');
const RECEIPTS = 'provenance.receipts.v1';

describe('streams/kafka/consume', function () {
  this.timeout(120_000);
  let pair: KafkaPair;
  let connection: KafkaConnection;
  let topic: string;
  let ledger: TransportLedger;
  let producer: Producer;
  let schemaId: number;
  let read: Reader;

  before(async function () {
    pair = await kafkaPair(this);
  });

  beforeEach(async () => {
    connection = kafkaConnection({ brokers: [pair.broker], topicPrefix: ownPrefix() });
    topic = connection.topic(RECEIPTS);
    await using admin = await topicsAdmin(connection, {
      topics: [RECEIPTS, `${RECEIPTS}.dlq`].map(declared),
    });
    await admin.apply();
    const schemas = wireSchemas({ url: pair.registryUrl });
    schemaId = await schemas.publish(subjectOf('receipts.ReceiptRecorded') as Subject);
    const eventsOf = () => ['receipts.ReceiptRecorded'];
    read = messageReader({ schemas, eventsOf, clock: Date.now as () => Instant });
    ledger = await transportLedger('acme');
    producer = connection.kafka.producer({ allowAutoTopicCreation: false });
    await producer.connect();
  });

  afterEach(async () => {
    // A driver left alone tries to reach its broker for ever.
    await Promise.all(running.splice(0).map((consumption) => consumption.stop()));
    await producer?.disconnect();
    await ledger?.[Symbol.asyncDispose]();
  });

  const running: Consumption[] = [];
  const consume = async (
    intake = ledger.intake,
    onEvent?: (event: ConsumptionEvent) => void,
  ): Promise<Consumption> => {
    const group = { connection, groupId: topic, topics: [topic], sessionTimeoutMs: 6_000 };
    const consumption = await consumeMessages({ ...group, intake, read, ...(onEvent && { onEvent }) });
    running.push(consumption);
    return consumption;
  };

  const send = (messages: readonly { readonly key: string; readonly value: Buffer | null }[]) =>
    producer.send({ topic, messages: [...messages] });
  /** A producer that has known a topic learns only by failing that it was made anew. */
  const sendUntilTaken = async (messages: Parameters<typeof send>[0]): Promise<void> => {
    for (let tries = 0; ; tries += 1) {
      const error = await send(messages).then(
        () => undefined,
        (failure: unknown) => failure,
      );
      if (error === undefined) return;
      if (tries >= 20) throw error;
    }
  };
  const receipts = (count: number) =>
    Array.from({ length: count }, (_, n) => ({
      key: `acme/${n % 20}`,
      value: receiptValue(aReceipt(), schemaId),
    }));

  /** Waits until so many messages were taken, or had one fate; the sums of their fates. */
  const taken = async (
    count: number,
    of: 'received' | 'accepted' = 'received',
  ): Promise<Record<string, number>> => {
    for (const deadline = Date.now() + 60_000; ; await pause(50)) {
      const rows = await readFlow(ledger.pool);
      const sum = (its: (row: (typeof rows)[number]) => number) =>
        rows.reduce((all, row) => all + its(row), 0);
      const sums = { received: sum((row) => row.received), accepted: sum((row) => row.accepted) };
      if (sums[of] >= count || Date.now() > deadline)
        return {
          ...sums,
          duplicate: sum((row) => row.duplicate),
          dead_lettered: sum((row) => row.dead_lettered),
          held: sum((row) => row.held),
        };
    }
  };

  it('takes what was sent, once, and goes on from the store and not from what Kafka remembers', async () => {
    const messages = receipts(300);
    await send([...messages, ...messages.slice(0, 30)]);
    const first = await consume();
    expect(await taken(330)).to.include({ received: 330, accepted: 300, duplicate: 30 });
    await first.stop();
    // The group's offsets are put back to the beginning, as an operator might: nothing is taken twice.
    const admin = connection.kafka.admin();
    await admin.connect();
    await admin.resetOffsets({ groupId: topic, topic, earliest: true });
    await admin.disconnect();
    await send(receipts(10));
    const second = await consume();
    expect(await taken(340)).to.include({ received: 340, accepted: 310, duplicate: 30 });
    await second.stop();
    expect((await readPartitions(ledger.pool)).every(({ missing }) => missing === 0)).to.equal(true);
    expect((await ledger.store.head(acme))?.seq).to.equal(311);
    await expectLedgerSound(ledger);
  });

  it('members that come and go under load lose nothing and take nothing twice (pitfall 13)', async () => {
    const sending = (async () => {
      for (let batch = 0; batch < 40; batch += 1) {
        await send(receipts(50));
        await pause(50);
      }
    })();
    const one = await consume();
    for (let member = 0; member < 3; member += 1) {
      const other = await consume(ledger.another().intake);
      await pause(400);
      await other.stop();
    }
    await sending;
    expect(await taken(2_000)).to.include({ received: 2_000, accepted: 2_000, duplicate: 0 });
    await one.stop();
    expect((await readPartitions(ledger.pool)).every(({ missing }) => missing === 0)).to.equal(true);
    expect((await ledger.store.head(acme))?.seq).to.equal(2_001);
    await expectLedgerSound(ledger);
  });

  it('a topic made anew is taken from its beginning, loudly; what was on both counts once', async () => {
    const told: string[] = [];
    const listening = (): Promise<Consumption> => consume(ledger.intake, ({ type }) => told.push(type));
    const poison = { key: 'p', value: Buffer.from('poison') };
    const messages = receipts(120);
    const first = await listening();
    await send([poison, ...messages]);
    expect(await taken(121)).to.include({ accepted: 120, dead_lettered: 1 });
    await first.stop();
    await makeAnew(connection, RECEIPTS);
    // The letter of the first topic and this one have the same place.
    await sendUntilTaken([poison, ...messages.slice(0, 60)]);
    const second = await listening();
    expect(await taken(182)).to.include({
      received: 182,
      accepted: 120,
      duplicate: 60,
      dead_lettered: 1,
      held: 1,
    });
    expect(told).to.include('anew');
    // Under a consumer at work. Few enough that no partition grows past where it was before that is noticed.
    await makeAnew(connection, RECEIPTS);
    const again = receipts(3);
    for (const message of again) await sendUntilTaken([message]);
    // A sending whose answer was lost with the topic is repeated: some may come twice.
    const sums = await taken(123, 'accepted');
    expect(sums['accepted']).to.equal(123);
    await second.stop();
    const partitions = await readPartitions(ledger.pool);
    expect(partitions.every(({ missing }) => missing === 0)).to.equal(true);
    expect(Math.max(...partitions.map(({ incarnation }) => incarnation))).to.be.greaterThan(0);
    await expectLedgerSound(ledger);
  });

  for (const when of ['under a consumer at work', 'while none is there'] as const)
    it(`a topic made anew that has grown past the position ${when} is noticed all the same`, async () => {
      const told: string[] = [];
      const listening = (): Promise<Consumption> => consume(ledger.intake, ({ type }) => told.push(type));
      const first = await listening();
      await send(receipts(60));
      expect(await taken(60, 'accepted')).to.include({ accepted: 60 });
      const atWork = when === 'under a consumer at work';
      if (!atWork) await first.stop();
      // Where messages come all the time nobody has the time to make a topic anew between two of them.
      else await pause(1_100);
      await makeAnew(connection, RECEIPTS);
      await sendUntilTaken(receipts(600));
      const then = atWork ? first : await listening();
      expect((await taken(660, 'accepted'))['accepted']).to.equal(660);
      await then.stop();
      expect(told).to.include('anew');
      expect((await readPartitions(ledger.pool)).every(({ missing }) => missing === 0)).to.equal(true);
      await expectLedgerSound(ledger);
    });

  it('messages that retention removed before they were taken are counted and told; the rest is taken', async () => {
    const lost: number[] = [];
    const listening = (): Promise<Consumption> =>
      consume(ledger.intake, (event) => {
        if (event.type === 'lost') lost.push(event.messages);
      });
    const first = await listening();
    await send(receipts(60));
    await taken(60);
    await first.stop();
    await send(receipts(90));
    await removeWhatIsThere(connection, RECEIPTS);
    await send(receipts(60));
    const second = await listening();
    expect(await taken(120)).to.include({ received: 120, accepted: 120 });
    await second.stop();
    const partitions = await readPartitions(ledger.pool);
    expect(partitions.every(({ missing }) => missing === 0)).to.equal(true);
    expect(partitions.reduce((sum, row) => sum + row.lost, 0)).to.equal(90);
    expect(lost.reduce((sum, each) => sum + each, 0)).to.equal(90);
  });

  it('a message that cannot be taken goes to the dead letters with where it came from; its key waits', async () => {
    const [good] = receipts(1);
    await send([{ key: 'a', value: Buffer.from('poison') }]);
    await send([
      { key: 'a', value: good?.value ?? null },
      { key: 'b', value: receiptValue(aReceipt(), schemaId) },
    ]);
    const consumption = await consume();
    expect(await taken(3)).to.include({ accepted: 1, dead_lettered: 1, held: 1 });
    await consumption.stop();
    expect(await publishDeadLetters(ledger.pool, producer, topic)).to.equal(1);
    expect(await publishDeadLetters(ledger.pool, producer, topic)).to.equal(0);
    const reader = connection.kafka.consumer({ groupId: `${topic}-letters`, maxWaitTimeInMs: 100 });
    await reader.connect();
    await reader.subscribe({ topic: `${topic}.dlq`, fromBeginning: true });
    const letter = await new Promise<{ value: string; headers: Record<string, string> }>(
      (resolve, reject) => {
        const eachMessage = async ({
          message: { value, headers = {} },
        }: {
          message: Letter;
        }): Promise<void> => resolve({ value: String(value), headers: texts(headers) });
        reader.run({ eachMessage }).catch(reject);
      },
    );
    await reader.disconnect();
    expect(letter.value).to.equal('poison');
    expect(letter.headers).to.include({ dlq_topic: topic, dlq_offset: '0', dlq_error_class: 'not-framed' });
  });
});

interface Letter {
  readonly value: Buffer | null;
  readonly headers?: { readonly [name: string]: unknown } | undefined;
}

const texts = (headers: object): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
