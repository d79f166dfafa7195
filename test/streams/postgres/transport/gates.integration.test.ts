// Messages whose write path is closed: held with the reason, and taken in their order once it opens.
import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { type GateCommand, gates } from '#commands/gates.ts';
import { runCommand } from '#commands/run.ts';
import { messageReader } from '#gateway/kafka/read-message.ts';
import { avroReader } from '#schemas/codec.ts';
import { type Instant, tenantId } from '#schemas/ids.ts';
import { type Subject, subjectOf } from '#schemas/registry/subjects.ts';
import { readFlow } from '#streams/postgres/transport/flow.ts';
import type { Intake, PieceOutcome } from '#streams/postgres/transport/intake.ts';
import { listLetters } from '#streams/postgres/transport/letters.ts';
import type { Message, Reader } from '#streams/postgres/transport/message.ts';
import { replayLetter, type SettleOptions } from '#streams/postgres/transport/settle.ts';
import { replayWaiting } from '#streams/postgres/transport/waiting.ts';
import { expectLedgerSound } from '#test/support/ledger-sound.ts';
import {
  aReceipt,
  messageAt,
  receiptValue,
  type TransportLedger,
  transportLedger,
} from '#test/support/transport.ts';

const place = { topic: 'provenance.receipts.v1', partition: 0 };
const acme = tenantId('acme');
const REASON = 'the write path of receipts is closed since epoch 1: it drifts';

const schema = avroReader(JSON.parse((subjectOf('receipts.ReceiptRecorded') as Subject).schema), JSON.parse);
const read: Reader = messageReader({
  schemas: { reader: () => schema, learn: async (id) => ({ kind: 'unknown', message: `no schema ${id}` }) },
  eventsOf: () => ['receipts.ReceiptRecorded'],
  clock: Date.now as () => Instant,
});

const move = async ({ store }: TransportLedger, command: GateCommand): Promise<void> => {
  const context = { tenant: acme, actor: 'ada', at: Date.now() as Instant, key: randomUUID() };
  const outcome = await runCommand({ store, decider: gates }, command, context);
  expect(outcome.kind).to.equal('recorded');
};
const close = (ledger: TransportLedger) =>
  move(ledger, { type: 'RollBackWritePath', route: 'receipts', reason: 'it drifts' });
const restore = (ledger: TransportLedger) =>
  move(ledger, { type: 'RestoreWritePath', route: 'receipts', grounds: 'ordered', reason: 'it does not' });

/** Messages with ids `<key>-<count>`; a key of null is none. */
const sender = () => {
  let offset = 0;
  const counts = new Map<string, number>();
  return (key: string | null, tenant = 'acme'): Message => {
    const count = (counts.get(key ?? '') ?? 0) + 1;
    counts.set(key ?? '', count);
    const receipt = aReceipt({ id: `${key ?? 'none'}-${count}`, tenant });
    return messageAt(offset++, {
      key: key === null ? undefined : Buffer.from(key),
      value: receiptValue(receipt),
    });
  };
};

const tried = async (intake: Intake, messages: readonly Message[]): Promise<PieceOutcome | undefined> => {
  const position = await intake.open(place, messages[0]?.offset ?? 0);
  const next = (messages.at(-1)?.offset ?? 0) + 1;
  const readings = messages.map(async (message) => ({ message, reading: await read(message) }));
  const piece = { ...place, position, next, absent: 0, lost: 0, messages: await Promise.all(readings) };
  return (await intake.commit([piece]))[0];
};

/** As the consumer does: once more when it was fenced. */
const take = async (intake: Intake, messages: readonly Message[]) => {
  for (let tries = 0; tries < 50; tries += 1) {
    const outcome = await tried(intake, messages);
    if (outcome?.kind === 'stored') return outcome.counts;
  }
  throw new Error('fenced again and again');
};

const settling = ({ pool, another }: TransportLedger): SettleOptions => ({ pool, read, ...another() });

const idsOf = async ({ store }: TransportLedger, tenant = acme): Promise<readonly string[]> =>
  (await Array.fromAsync(store.read(tenant)))
    .flat()
    .filter(({ type }) => type === 'receipts.ReceiptRecorded')
    .map(({ payload }) => (JSON.parse(payload) as { readonly id: string }).id);

describe('streams/postgres/transport: messages of a closed write path', () => {
  it('are held with the reason, other tenants go on; they go in in the order of their keys once it opens', async () => {
    await using ledger = await transportLedger('acme', 'birch');
    const send = sender();
    await take(ledger.intake, [send('a')]);
    await close(ledger);
    const sent = [send('a'), send('b'), send('x', 'birch'), send(null), send('a')];
    expect(await take(ledger.intake, sent)).to.include({ accepted: 1, held: 4, dead_lettered: 0 });
    const letters = await listLetters(ledger.pool, { limit: 10 });
    expect(letters.map(({ state, errorClass, error }) => [state, errorClass, error])).to.deep.equal([
      ['held', 'write-path-closed', REASON],
      ['held', 'write-path-closed', REASON],
      ['held', 'write-path-closed', REASON],
      ['held', 'behind-another', 'a message before it with the same key was not taken'],
    ]);
    expect(await replayWaiting(settling(ledger))).to.equal(0);
    await restore(ledger);
    // What comes before those that waited are taken waits behind them.
    expect(await take(ledger.intake, [send('a'), send('c')])).to.include({ accepted: 1, held: 1 });
    expect(await replayWaiting(settling(ledger))).to.equal(5);
    expect(await replayWaiting(settling(ledger))).to.equal(0);
    expect(await take(ledger.intake, [send('a')])).to.include({ accepted: 1 });
    const ids = await idsOf(ledger);
    expect(ids.filter((id) => id.startsWith('a-'))).to.deep.equal(['a-1', 'a-2', 'a-3', 'a-4', 'a-5']);
    expect([...ids].sort().filter((id) => !id.startsWith('a-'))).to.deep.equal(['b-1', 'c-1', 'none-1']);
    const [flow] = await readFlow(ledger.pool);
    expect(flow).to.include({ received: 9, accepted: 9, held: 0, dead_lettered: 0 });
    await expectLedgerSound(ledger);
  });

  it('even the first closing is in force at once: a batch that was read while it was open is fenced', async () => {
    await using ledger = await transportLedger('acme');
    const send = sender();
    await take(ledger.intake, [send('a')]);
    // By another process: what this one knows of the gate says that it is open.
    await close(ledger);
    const messages = [send('a')];
    expect(await tried(ledger.intake, messages)).to.deep.equal({ kind: 'fenced' });
    expect(await tried(ledger.intake, messages)).to.have.nested.property('counts.held', 1);
    await restore(ledger);
    const later = [send('b')];
    expect(await tried(ledger.intake, later)).to.deep.equal({ kind: 'fenced' });
    expect(await tried(ledger.intake, later)).to.have.nested.property('counts.accepted', 1);
  });

  it('asked for by hand they stay held, and say why', async () => {
    await using ledger = await transportLedger('acme');
    const send = sender();
    await close(ledger);
    await take(ledger.intake, [send('a')]);
    const [letter] = await listLetters(ledger.pool, { limit: 1 });
    const result = await replayLetter(settling(ledger), letter?.letter ?? 0);
    expect(result)
      .to.deep.include({ kind: 'done', accepted: 0 })
      .and.have.nested.property('stopped.error', REASON);
    expect(await listLetters(ledger.pool, { limit: 1 })).to.have.nested.property('[0].state', 'held');
  });

  it('as many as one transaction does not take go in all the same', async function () {
    this.timeout(60_000);
    await using ledger = await transportLedger('acme');
    const send = sender();
    await close(ledger);
    const sent = Array.from({ length: 2_300 }, (_, n) => send(`k${n % 700}`));
    expect(await take(ledger.intake, sent)).to.include({ held: 2_300 });
    await restore(ledger);
    expect(await replayWaiting(settling(ledger))).to.equal(2_300);
    const last = new Map<string, number>();
    for (const id of await idsOf(ledger)) {
      const [key = '', count] = id.split('-');
      expect(Number(count), id).to.equal((last.get(key) ?? 0) + 1);
      last.set(key, Number(count));
    }
  });

  it('nothing goes in between a closing and the restoring behind it, however they race', async function () {
    this.timeout(60_000);
    await using ledger = await transportLedger('acme');
    const send = sender();
    let moved = false;
    const moving = (async () => {
      for (let round = 0; round < 6; round += 1) {
        await close(ledger);
        await restore(ledger);
      }
      moved = true;
    })();
    let sent = 0;
    for (; !moved || sent < 200; sent += 20) {
      await take(
        ledger.intake,
        Array.from({ length: 20 }, (_, n) => send(`k${n % 3}`)),
      );
      await replayWaiting(settling(ledger));
    }
    await moving;
    await replayWaiting(settling(ledger));
    const facts = (await Array.fromAsync(ledger.store.read(acme))).flat();
    let closed = false;
    let receipts = 0;
    for (const { type, seq } of facts) {
      if (type.startsWith('gates.')) closed = type === 'gates.WritePathRolledBack';
      if (type !== 'receipts.ReceiptRecorded') continue;
      receipts += 1;
      expect(closed, `fact ${seq} went in through a closed gate`).to.equal(false);
    }
    expect(receipts).to.equal(sent);
    for (const key of ['k0', 'k1', 'k2']) {
      const counts = (await idsOf(ledger))
        .filter((id) => id.startsWith(key))
        .map((id) => Number(id.split('-')[1]));
      expect(counts).to.deep.equal(counts.map((_, index) => index + 1));
    }
    await expectLedgerSound(ledger);
  });
});
