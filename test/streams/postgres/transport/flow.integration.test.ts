import { expect } from 'chai';
import { flowRecord } from '#gateway/kafka/records.ts';
import { type Instant, tenantId } from '#schemas/ids.ts';
import { readFlow, readPartitions } from '#streams/postgres/transport/flow.ts';
import { listLetters } from '#streams/postgres/transport/letters.ts';
import { replayLetter } from '#streams/postgres/transport/settle.ts';
import { stateFlow } from '#streams/postgres/transport/statements.ts';
import { expectLedgerSound } from '#test/support/ledger-sound.ts';
import { aReceipt, transportLedger } from '#test/support/transport.ts';
import { counts, forgetLearned, learned, message, read, TOPIC, take } from './taking.ts';

describe('streams/postgres/transport/flow', () => {
  afterEach(forgetLearned);

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
});
