import { expect } from 'chai';
import pg from 'pg';
import { messageReader } from '#gateway/kafka/read-message.ts';
import { flowRecord } from '#gateway/kafka/records.ts';
import { avroReader } from '#schemas/codec.ts';
import { type Instant, tenantId } from '#schemas/ids.ts';
import type { Receipt } from '#schemas/receipts.ts';
import { type Subject, subjectOf } from '#schemas/registry/subjects.ts';
import { readFlow, readPartitions } from '#streams/postgres/transport/flow.ts';
import type { Intake, Piece } from '#streams/postgres/transport/intake.ts';
import { listLetters } from '#streams/postgres/transport/letters.ts';
import type { Message, Reader } from '#streams/postgres/transport/message.ts';
import type { Position } from '#streams/postgres/transport/positions.ts';
import { discardLetter, replayLetter } from '#streams/postgres/transport/settle.ts';
import { stateFlow } from '#streams/postgres/transport/statements.ts';
import { replayWaiting } from '#streams/postgres/transport/waiting.ts';
import { expectLedgerSound } from '#test/support/ledger-sound.ts';
import { aReceipt, createTenant, messageAt, receiptValue, transportLedger } from '#test/support/transport.ts';

const TOPIC = 'provenance.receipts.v1';
const place = { topic: TOPIC, partition: 0 };
const acme = tenantId('acme');

const receipts = avroReader(
  JSON.parse((subjectOf('receipts.ReceiptRecorded') as Subject).schema),
  JSON.parse,
);

/** Schema 1 is that of receipts; 2 is not there until `learned` holds it; 3 is asked of a registry that is away. */
const learned = new Set([1]);
const read: Reader = messageReader({
  schemas: {
    reader: (id) => (learned.has(id) ? receipts : undefined),
    learn: async (id) =>
      id === 3 ? { kind: 'unavailable', message: 'away' } : { kind: 'unknown', message: `no schema ${id}` },
  },
  eventsOf: () => ['receipts.ReceiptRecorded'],
  clock: Date.now as () => Instant,
});

const message = (
  offset: number,
  receipt: Receipt,
  { key = 'acme', schema = 1, partition = 0 } = {},
): Message => messageAt(offset, { key: Buffer.from(key), value: receiptValue(receipt, schema), partition });

const pieceOf = async (position: Position, messages: readonly Message[], partition = 0): Promise<Piece> => ({
  topic: TOPIC,
  partition,
  position,
  next: (messages.at(-1)?.offset ?? position.next - 1) + 1,
  absent: 0,
  lost: 0,
  messages: await Promise.all(messages.map(async (each) => ({ message: each, reading: await read(each) }))),
});

const take = async (intake: Intake, ...messages: readonly Message[]) => {
  const position = await intake.open(place, messages[0]?.offset ?? 0);
  const [outcome] = await intake.commit([await pieceOf(position, messages)]);
  if (outcome?.kind !== 'stored') throw new Error('fenced');
  return outcome.counts;
};

const counts = (given: object) => ({
  accepted: 0,
  duplicate: 0,
  conflict: 0,
  dead_lettered: 0,
  held: 0,
  ...given,
});

describe('streams/postgres/transport', () => {
  afterEach(() => {
    learned.delete(2);
    learned.delete(3);
  });

  it('takes each message once: a duplicate, also in the same batch, adds nothing; another body is a conflict on record', async () => {
    await using ledger = await transportLedger('acme');
    const first = aReceipt({ id: 'r-1' });
    expect(await take(ledger.intake, message(0, first), message(1, first))).to.deep.equal(
      counts({ accepted: 1, duplicate: 1 }),
    );
    const other = aReceipt({ id: 'r-1', decision: 'deny' });
    expect(
      await take(ledger.intake, message(2, first), message(3, other), message(4, aReceipt())),
    ).to.deep.equal(counts({ accepted: 1, duplicate: 1, conflict: 1 }));
    const facts = (await Array.fromAsync(ledger.store.read(acme))).flat();
    expect(facts.map(({ type }) => type)).to.deep.equal([
      'tenants.TenantCreated',
      'receipts.ReceiptRecorded',
      'messages.MessageConflicted',
      'receipts.ReceiptRecorded',
    ]);
    expect(JSON.parse(facts[2]?.payload ?? '')).to.include({ id: 'r-1', offset: 3, first_seq: 2 });
    await expectLedgerSound(ledger);
  });

  it('a receipt recorded over HTTP before is a duplicate, as the same request has the same hash', async () => {
    await using ledger = await transportLedger('acme');
    const receipt = aReceipt();
    const reading = await read(message(0, receipt));
    if (reading.kind !== 'append') throw new Error('not read');
    await ledger.store.append(reading.request);
    expect(await take(ledger.intake, message(0, receipt))).to.deep.equal(counts({ duplicate: 1 }));
  });

  it('of two consumers with the same partition one stores, and the other is told', async () => {
    await using ledger = await transportLedger('acme');
    const messages = Array.from({ length: 40 }, (_, offset) => message(offset, aReceipt()));
    const position = await ledger.intake.open(place, 0);
    const pieces = await Promise.all([pieceOf(position, messages), pieceOf(position, messages.slice(0, 30))]);
    const outcomes = await Promise.all(
      pieces.map((piece, index) => (index === 0 ? ledger.intake : ledger.another().intake).commit([piece])),
    );
    const kinds = outcomes.flat().map(({ kind }) => kind);
    expect(kinds.sort()).to.deep.equal(['fenced', 'stored']);
    const [flow] = await readFlow(ledger.pool);
    expect((await ledger.store.head(acme))?.seq).to.equal(1 + (flow?.accepted ?? 0));
    expect(flow?.received).to.equal((await ledger.intake.position(place))?.next);
  });

  it('one fenced piece keeps no other from being stored', async () => {
    await using ledger = await transportLedger('acme');
    const stale = await ledger.intake.open(place, 0);
    await take(ledger.intake, message(0, aReceipt()));
    const fresh = await ledger.intake.open({ ...place, partition: 1 }, 0);
    const outcomes = await ledger.intake.commit([
      await pieceOf(stale, [message(0, aReceipt())]),
      await pieceOf(fresh, [message(0, aReceipt(), { partition: 1 })], 1),
    ]);
    expect(outcomes.map(({ kind }) => kind)).to.deep.equal(['fenced', 'stored']);
    expect((await ledger.store.head(acme))?.seq).to.equal(3);
  });

  it('a loser of races with other writers of the tenant gets its turn, and nothing is lost', async () => {
    await using ledger = await transportLedger('acme');
    const stop = new AbortController();
    const busy = (async () => {
      for (let sent = 0; ; sent += 1) {
        if (stop.signal.aborted) return sent;
        const reading = await read(message(0, aReceipt()));
        if (reading.kind === 'append') await ledger.store.append(reading.request);
      }
    })();
    for (let batch = 0; batch < 10; batch += 1) {
      const messages = Array.from({ length: 60 }, (_, n) => message(batch * 60 + n, aReceipt()));
      expect(await take(ledger.intake, ...messages)).to.deep.equal(counts({ accepted: 60 }));
    }
    stop.abort();
    const sent = await busy;
    expect((await ledger.store.head(acme))?.seq).to.equal(1 + 600 + sent);
    await expectLedgerSound(ledger);
  });

  it('what cannot be taken is kept with its bytes; what comes after it with its key is held, other keys go on', async () => {
    await using ledger = await transportLedger('acme');
    const poison = messageAt(1, { key: Buffer.from('a'), headers: [['h', Buffer.from([0, 255])]] });
    const first = await take(
      ledger.intake,
      message(0, aReceipt(), { key: 'a' }),
      poison,
      message(2, aReceipt(), { key: 'a' }),
      message(3, aReceipt(), { key: 'b' }),
    );
    expect(first).to.deep.equal(counts({ accepted: 2, dead_lettered: 1, held: 1 }));
    expect(await take(ledger.intake, message(4, aReceipt(), { key: 'a' }))).to.deep.equal(
      counts({ held: 1 }),
    );
    const letters = await listLetters(ledger.pool, { limit: 10 });
    expect(letters.map(({ state, errorClass }) => `${state} ${errorClass}`)).to.deep.equal([
      'dead not-framed',
      'held behind-another',
      'held behind-another',
    ]);
    expect(letters[0]).to.deep.include(poison);
  });

  it('names the cause of each message that cannot be taken', async () => {
    await using ledger = await transportLedger('acme');
    const cut = receiptValue(aReceipt()).subarray(0, 20);
    const cases: readonly (readonly [string, Message])[] = [
      ['not-framed', messageAt(0, { value: undefined, key: undefined })],
      ['undecodable', messageAt(1, { value: cut, key: undefined })],
      ['unknown-schema', messageAt(2, { value: receiptValue(aReceipt(), 9), key: undefined })],
      ['malformed', messageAt(3, { value: receiptValue(aReceipt({ id: 'has space' })), key: undefined })],
      [
        'no-such-tenant',
        messageAt(4, { value: receiptValue(aReceipt({ tenant: 'nobody' })), key: undefined }),
      ],
      ['registry-away', messageAt(5, { value: receiptValue(aReceipt(), 3), key: undefined })],
      ['malformed', messageAt(6, { value: receiptValue(aReceipt({ tenant: 'No Body' })), key: undefined })],
    ];
    const outcome = await take(ledger.intake, ...cases.map(([, each]) => each));
    expect(outcome).to.deep.equal(counts({ dead_lettered: 6, held: 1 }));
    const letters = await listLetters(ledger.pool, { limit: 10 });
    expect(letters.map(({ errorClass }) => errorClass)).to.deep.equal(cases.map(([name]) => name));
  });

  it('fact 3 of 10 of a key, poison and replayed after 4 to 10, ends where the fold in order ends (pitfall 12)', async () => {
    await using ledger = await transportLedger('acme');
    const sent = Array.from({ length: 10 }, (_, n) =>
      message(n * 2, aReceipt({ id: `r-${n}` }), { key: 'a', schema: n === 2 ? 2 : 1 }),
    );
    const others = sent.map((_, n) => message(n * 2 + 1, aReceipt({ id: `o-${n}` }), { key: `other-${n}` }));
    const messages = [...sent, ...others].sort((a, b) => a.offset - b.offset);
    expect(await take(ledger.intake, ...messages.slice(0, 12))).to.deep.equal(
      counts({ accepted: 8, dead_lettered: 1, held: 3 }),
    );
    const settling = { pool: ledger.pool, together: ledger.another().together, gates: ledger.gates, read };
    const [dead] = await listLetters(ledger.pool, { limit: 1 });
    const early = await replayLetter(settling, dead?.letter ?? 0);
    expect(early).to.deep.include({ kind: 'done', accepted: 0 }).and.have.nested.property('stopped.letter');
    // The rest comes only after the replay was tried: the position's epoch has moved.
    expect(await take(ledger.intake, ...messages.slice(12))).to.deep.equal(counts({ accepted: 4, held: 4 }));
    learned.add(2);
    expect(await replayLetter(settling, dead?.letter ?? 0)).to.deep.equal({
      kind: 'done',
      accepted: 8,
      duplicate: 0,
      conflict: 0,
    });
    const facts = (await Array.fromAsync(ledger.store.read(acme))).flat();
    const order = facts.map(({ payload }) => (JSON.parse(payload) as { id?: string }).id ?? '');
    expect(order.filter((id) => id.startsWith('r-'))).to.deep.equal(sent.map((_, n) => `r-${n}`));
    expect(await take(ledger.intake, message(20, aReceipt(), { key: 'a' }))).to.deep.equal(
      counts({ accepted: 1 }),
    );
    const [flow] = await readFlow(ledger.pool);
    expect(flow).to.deep.include({ received: 21, ...counts({ accepted: 21 }) });
  });

  it('a consumer that had its position before a replay is fenced, and holds nothing that is free now', async () => {
    await using ledger = await transportLedger('acme');
    await take(ledger.intake, message(0, aReceipt(), { schema: 2 }));
    const position = (await ledger.intake.position(place)) as Position;
    const piece = await pieceOf(position, [message(1, aReceipt())]);
    learned.add(2);
    const [dead] = await listLetters(ledger.pool, { limit: 1 });
    await replayLetter(
      { pool: ledger.pool, together: ledger.together, gates: ledger.gates, read },
      dead?.letter ?? 0,
    );
    expect(await ledger.intake.commit([piece])).to.deep.equal([{ kind: 'fenced' }]);
    expect(await take(ledger.intake, message(1, aReceipt()))).to.deep.equal(counts({ accepted: 1 }));
  });

  it('giving a letter up lets those behind it in; settled ones are closed, waiting ones name the first', async () => {
    await using ledger = await transportLedger('acme');
    await take(ledger.intake, messageAt(0), message(1, aReceipt()), message(2, aReceipt()));
    const letters = await listLetters(ledger.pool, { limit: 9 });
    const [dead = 0, held = 0] = letters.map(({ letter }) => letter);
    const settling = { pool: ledger.pool, together: ledger.together, gates: ledger.gates, read };
    expect(await replayLetter(settling, held)).to.have.nested.property('first.letter', dead);
    expect(await discardLetter(settling, 999)).to.deep.equal({ kind: 'no-such-letter' });
    expect(await discardLetter(settling, dead)).to.deep.include({ kind: 'done', accepted: 2 });
    expect(await discardLetter(settling, dead)).to.have.property('kind', 'closed');
    const [flow] = await readFlow(ledger.pool);
    expect(flow).to.deep.include({ ...counts({ accepted: 2, dead_lettered: 1 }), discarded: 1, received: 3 });
  });

  it('an hour that is over is stated once, by whoever comes first, and again when a letter moves in it', async () => {
    await using ledger = await transportLedger('acme', 'operators');
    await take(ledger.intake, message(0, aReceipt(), { schema: 2 }), message(1, aReceipt(), { key: 'b' }));
    const { pool } = ledger;
    const stating = (): Promise<number> =>
      stateFlow({
        pool,
        together: ledger.another().together,
        requestOf: (row) => flowRecord(row, Date.now() as Instant),
      });
    expect(await stating(), 'the hour is not over').to.equal(0);
    await pool.query("UPDATE transport.flow SET hour = hour - interval '1 hour'");
    const counted = await Promise.all([stating(), stating(), stating()]);
    expect(counted.reduce((sum, rows) => sum + rows, 0)).to.equal(1);
    const stated = async () =>
      (await Array.fromAsync(ledger.store.read(tenantId('operators'))))
        .flat()
        .filter(({ type }) => type === 'messages.FlowStated')
        .map(({ seq, payload }) => ({ seq, ...(JSON.parse(payload) as object) }));
    const [first] = await stated();
    expect(first).to.deep.include({
      topic: TOPIC,
      received: 2,
      ...counts({ accepted: 1, dead_lettered: 1 }),
    });
    expect(await readFlow(pool)).to.have.nested.property('[0].stated_seq', first?.seq);
    learned.add(2);
    await pool.query("UPDATE transport.letters SET received_at = received_at - interval '1 hour'");
    const [dead] = await listLetters(pool, { limit: 1 });
    await replayLetter({ pool, together: ledger.together, gates: ledger.gates, read }, dead?.letter ?? 0);
    expect(await readFlow(pool)).to.have.nested.property('[0].stated_seq', undefined);
    expect(await stating()).to.equal(1);
    const all = await stated();
    expect(all.map(({ seq }) => seq)).to.have.length(2);
    expect(all[1]).to.deep.include(counts({ accepted: 2 }));
    await expectLedgerSound(ledger);
  });

  it('two replays of the same letter at once take it once', async () => {
    await using ledger = await transportLedger('acme');
    await take(ledger.intake, message(0, aReceipt(), { schema: 2 }), message(1, aReceipt()));
    learned.add(2);
    const [dead] = await listLetters(ledger.pool, { limit: 1 });
    const both = await Promise.all(
      [ledger.together, ledger.another().together].map((together) =>
        replayLetter({ pool: ledger.pool, together, gates: ledger.gates, read }, dead?.letter ?? 0),
      ),
    );
    const accepted = both.map((result) => (result.kind === 'done' ? result.accepted : 0));
    expect(accepted.sort((a, b) => a - b)).to.deep.equal([0, 2]);
    expect((await ledger.store.head(acme))?.seq).to.equal(3);
  });

  it('what waits for the registry goes in by itself once it answers, and those behind it', async () => {
    await using ledger = await transportLedger('acme');
    await take(ledger.intake, message(0, aReceipt(), { schema: 3 }), message(1, aReceipt()));
    const settling = { pool: ledger.pool, together: ledger.together, gates: ledger.gates, read };
    expect(await replayWaiting(settling)).to.equal(0);
    learned.add(3);
    expect(await replayWaiting(settling)).to.equal(2);
    const [flow] = await readFlow(ledger.pool);
    expect(flow).to.deep.include({ received: 2, ...counts({ accepted: 2 }) });
  });

  it('a message for a tenant that is made later goes in when it is replayed', async () => {
    await using ledger = await transportLedger('acme');
    await take(ledger.intake, message(0, aReceipt({ tenant: 'later' })));
    const [dead] = await listLetters(ledger.pool, { limit: 1 });
    await createTenant(ledger.store, tenantId('later'));
    const result = await replayLetter(
      { pool: ledger.pool, together: ledger.together, gates: ledger.gates, read },
      dead?.letter ?? 0,
    );
    expect(result).to.deep.include({ kind: 'done', accepted: 1 });
  });

  it('the equation is the table’s own: a row in which it does not hold is refused; partitions are counted through', async () => {
    await using ledger = await transportLedger('acme');
    await take(ledger.intake, message(5, aReceipt()), message(6, aReceipt()));
    const refused = await ledger.pool
      .query('UPDATE transport.flow SET accepted = accepted + 1')
      .catch(String);
    expect(refused).to.include('conservation');
    const deleted = await ledger.pool.query('DELETE FROM transport.flow').catch(String);
    expect(deleted).to.match(/permission denied|refused/);
    const offsets = { first_offset: 5, next_offset: 7, incarnation: 0, absent: 0, lost: 0 };
    const partition = { topic: TOPIC, partition: 0, ...offsets };
    expect(await readPartitions(ledger.pool)).to.deep.equal([
      { ...partition, ...counts({ accepted: 2 }), received: 2, missing: 0 },
    ]);
    await ledger.pool.query('UPDATE transport.positions SET next_offset = next_offset + 1');
    expect(await readPartitions(ledger.pool)).to.have.nested.property('[0].missing', 1);
  });

  it('a connection lost before the commit leaves nothing: neither facts nor letters, counts or a moved position', async () => {
    await using ledger = await transportLedger('acme');
    await take(ledger.intake, message(0, aReceipt()));
    const before = await readFlow(ledger.pool);
    const owner = new pg.Client(ledger.url);
    await owner.connect();
    await owner.query(CUT_ONCE);
    await owner.end();
    const position = (await ledger.intake.position(place)) as Position;
    const messages = [message(1, aReceipt()), messageAt(2), message(3, aReceipt())];
    const piece = await pieceOf(position, messages);
    const outcome = await ledger.intake.commit([piece]).catch((error: unknown) => error);
    expect(outcome).to.have.property('code', 'unavailable');
    expect(await ledger.intake.position(place)).to.deep.equal(position);
    expect(await readFlow(ledger.pool)).to.deep.equal(before);
    expect(await listLetters(ledger.pool, { limit: 1 })).to.deep.equal([]);
    expect((await ledger.store.head(acme))?.seq).to.equal(2);
    expect(await ledger.intake.commit([piece])).to.have.nested.property('[0].counts.accepted', 1);
    await expectLedgerSound(ledger);
  });
});

// The sequence outlives the rollback: the session is ended once, with everything written and nothing committed.
const CUT_ONCE = `CREATE SEQUENCE public.cuts;
  CREATE FUNCTION public.cut() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
  BEGIN
    IF nextval('public.cuts') = 1 THEN
      PERFORM pg_terminate_backend(pg_backend_pid());
      PERFORM pg_sleep(5);
    END IF;
    RETURN NULL;
  END $$;
  CREATE TRIGGER cut AFTER UPDATE ON transport.flow FOR EACH STATEMENT EXECUTE FUNCTION public.cut();`;
