import { expect } from 'chai';
import pg from 'pg';
import { tenantId } from '#schemas/ids.ts';
import { readFlow } from '#streams/postgres/transport/flow.ts';
import { listLetters } from '#streams/postgres/transport/letters.ts';
import type { Message } from '#streams/postgres/transport/message.ts';
import type { Position } from '#streams/postgres/transport/positions.ts';
import { expectLedgerSound } from '#test/support/ledger-sound.ts';
import { aReceipt, messageAt, receiptValue, transportLedger } from '#test/support/transport.ts';
import { counts, forgetLearned, message, pieceOf, place, read, take } from './taking.ts';

const acme = tenantId('acme');

describe('streams/postgres/transport/intake', () => {
  afterEach(forgetLearned);

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
