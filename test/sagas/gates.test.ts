import { expect } from 'chai';
import { reopenings } from '#sagas/gates.ts';
import type { Fact } from '#schemas/event.ts';
import type { WritePathRestored } from '#schemas/gates.ts';
import { decodeFact } from '#schemas/index.ts';
import { ACME, chain, type Said } from '#test/projectors/chains.ts';
import { givenSaga } from '#test/support/given-saga.ts';

const restored = (grounds: 'attested' | 'ordered', epoch: number): Said => ({
  type: 'gates.WritePathRestored',
  data: { route: 'receipts', epoch, grounds, reason: 'see ticket 4711' },
});

describe('sagas/gates: reopenings', () => {
  it('keeps what is to be told of a return, and asks for nothing', () => {
    const told = givenSaga(reopenings).when(restored('ordered', 2));
    told.state({ route: 'receipts', grounds: 'ordered', reason: 'see ticket 4711', by: 'test', seq: 1 });
    told.thenNothing();
  });

  it('each return is one of its own', () => {
    const keys = chain(ACME, [restored('ordered', 2), restored('attested', 4)]).map((recorded) =>
      reopenings.key(decodeFact(recorded) as Fact<WritePathRestored>),
    );
    expect(keys).to.deep.equal(['receipts 2', 'receipts 4']);
  });
});
