// The oracle of the HTTP faults must be able to fail: each thing it is to notice is planted here.
import { expect } from 'chai';
import { tenantId } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';
import { append, draft } from '#test/contracts/ledger-adapter.ts';
import { ACME, memoryLedger } from '#test/support/memory-ledger.ts';
import { type Answers, answerBook, type Place } from './answers.ts';

const receiptDraft = (id: string) =>
  draft({ type: 'receipts.ReceiptRecorded', payload: JSON.stringify({ id }) });

const failureOf = async (work: () => unknown): Promise<string> => {
  try {
    await work();
    return 'none';
  } catch (error) {
    return (error as Error).message;
  }
};

describe('the oracle of answers', () => {
  let store: StreamStore;
  let book: Answers;
  const places = new Map<string, Place>();
  beforeEach(async () => {
    ({ store } = await memoryLedger());
    book = answerBook();
    for (const id of ['a', 'b']) {
      const result = await append(store, ACME, receiptDraft(id));
      if (result.kind !== 'appended') throw new Error(result.kind);
      places.set(id, result.facts[0]?.fact as Place);
      book.sent({ tenant: ACME, id });
      book.acknowledged(id, places.get(id) as Place, `whole ${id}`);
    }
  });

  it('is content with what was said and is so', async () => {
    book.acknowledged('a', places.get('a') as Place, 'whole a');
    await book.expectKept(store);
    book.expectComplete();
    expect(book.figures()).to.deep.equal({ sent: 2, acknowledged: 2, repeated: 1 });
  });

  it('notices a receipt that was acknowledged and is not stored', async () => {
    book.sent({ tenant: ACME, id: 'lost' });
    book.acknowledged('lost', { seq: 4, hash: '0'.repeat(64) });
    expect(await failureOf(() => book.expectKept(store))).to.contain('is not stored');
  });

  it('notices one that is stored elsewhere than was said', async () => {
    const other = answerBook();
    other.sent({ tenant: ACME, id: 'a' });
    other.acknowledged('a', places.get('b') as Place);
    expect(await failureOf(() => other.expectKept(store))).to.contain('was said to be at 3');
  });

  it('notices one that is stored twice', async () => {
    await append(store, ACME, receiptDraft('a'));
    expect(await failureOf(() => book.expectKept(store))).to.contain('twice');
  });

  it('notices one that is answered in two ways, in place or in any byte', async () => {
    expect(await failureOf(() => book.acknowledged('a', places.get('b') as Place))).to.contain('and then at');
    expect(await failureOf(() => book.acknowledged('a', places.get('a') as Place, 'whole A'))).to.contain(
      'two ways',
    );
  });

  it('notices one that was never acknowledged, and one that nobody sent', async () => {
    book.sent({ tenant: tenantId('birch'), id: 'open' });
    expect(await failureOf(() => book.expectComplete())).to.contain('never acknowledged');
    expect(await failureOf(() => book.acknowledged('nobody', places.get('a') as Place))).to.contain(
      'never sent',
    );
  });
});
