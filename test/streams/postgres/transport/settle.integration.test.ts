import { expect } from 'chai';
import { tenantId } from '#schemas/ids.ts';
import { readFlow } from '#streams/postgres/transport/flow.ts';
import { listLetters } from '#streams/postgres/transport/letters.ts';
import type { Position } from '#streams/postgres/transport/positions.ts';
import { discardLetter, replayLetter } from '#streams/postgres/transport/settle.ts';
import { replayWaiting } from '#streams/postgres/transport/waiting.ts';
import { aReceipt, createTenant, messageAt, transportLedger } from '#test/support/transport.ts';
import { counts, forgetLearned, learned, message, pieceOf, place, read, take } from './taking.ts';

const acme = tenantId('acme');

describe('streams/postgres/transport/settle', () => {
  afterEach(forgetLearned);

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
});
