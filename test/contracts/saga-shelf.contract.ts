// What every place where sagas are kept must do.
import { expect } from 'chai';
import { CHAIN_START } from '#proofs/chain.ts';
import type { AnySaga } from '#sagas/saga.ts';
import type { SagaShelf, SagaStep } from '#sagas/shelf.ts';
import type { Recorded } from '#schemas/event.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import { ACME, chain } from '#test/projectors/chains.ts';

export interface ShelfUnderTest extends AsyncDisposable {
  readonly shelf: SagaShelf;
  /** Makes the ledger hold this many facts of a tenant. */
  readonly hold: (tenant: TenantId, facts: number) => Promise<void>;
}

const saga = (version: number): AnySaga => ({
  name: 'counting',
  version,
  summary: 'counts',
  handles: [],
  key: () => undefined,
  initial: 0,
  fold: () => 0,
  react: () => [],
});

const facts = chain(
  ACME,
  Array.from({ length: 3 }, () => ({ type: 'tests.Said' })),
);
const stepTo = (to: Recorded, over: Partial<SagaStep> = {}): SagaStep => ({
  tenant: ACME,
  from: CHAIN_START,
  to: { seq: to.seq, hash: to.hash, recordedAt: to.recordedAt },
  states: new Map(),
  ...over,
});

export const sagaShelfContract = (open: () => Promise<ShelfUnderTest>): void => {
  const [first, second] = facts as [Recorded, Recorded];

  it('position and states move together, from where the saga stands and from nowhere else', async () => {
    await using under = await open();
    const { shelf } = under;
    await shelf.install(saga(1));
    const states = new Map<string, unknown>([
      ['a b', { n: 1, text: 'ü\u2028', none: null }],
      ['c', [1, 2]],
    ]);
    expect(await shelf.save(saga(1), stepTo(first, { states }))).to.equal('saved');
    expect(await shelf.save(saga(1), stepTo(first, { states: new Map([['c', 'late']]) }))).to.equal(
      'overtaken',
    );
    expect(
      await shelf.save(saga(1), stepTo(second, { from: { ...first, hash: second.hash } })),
      'another hash',
    ).to.equal('overtaken');
    expect(await shelf.states(saga(1), ACME, ['a b', 'c', 'd'])).to.deep.equal(states);
    expect(await shelf.save(saga(1), stepTo(second, { from: first }))).to.equal('saved');
    const [position] = await shelf.positions(saga(1), ACME);
    expect(position).to.deep.include({ tenant: ACME, seq: 2, hash: second.hash, mutedTo: 0 });
    expect(position?.recordedAt).to.equal(second.recordedAt);
  });

  it('of two that take the same step one keeps it', async () => {
    await using under = await open();
    const { shelf } = under;
    await shelf.install(saga(1));
    const results = await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        shelf.save(saga(1), stepTo(first, { states: new Map([['k', index]]) })),
      ),
    );
    expect(results.filter((result) => result === 'saved')).to.have.length(1);
    expect((await shelf.states(saga(1), ACME, ['k'])).get('k')).to.equal(results.indexOf('saved'));
  });

  it('one that has halted moves only when it was resumed', async () => {
    await using under = await open();
    const { shelf } = under;
    await shelf.install(saga(1));
    const parked = { seq: 2 as Seq, id: second.id, message: 'cannot be' };
    await shelf.save(saga(1), stepTo(first, { parked }));
    expect((await shelf.positions(saga(1)))[0]?.parked).to.deep.equal(parked);
    expect(await shelf.save(saga(1), stepTo(second, { from: first }))).to.equal('overtaken');
    expect(await shelf.resume(saga(1), ACME)).to.equal(true);
    expect(await shelf.resume(saga(1), ACME)).to.equal(false);
    expect(await shelf.save(saga(1), stepTo(second, { from: first }))).to.equal('saved');
  });

  it('is silent on what was there before it, and hears a later tenant from its first fact', async () => {
    await using under = await open();
    const { shelf, hold } = under;
    await hold(ACME, 2);
    await Promise.all([shelf.install(saga(1)), shelf.install(saga(1))]);
    expect((await shelf.positions(saga(1), ACME))[0]).to.deep.include({ seq: 0, mutedTo: 2 });
    await hold('globex' as TenantId, 1);
    await shelf.install(saga(1));
    expect(await shelf.positions(saga(1), 'globex' as TenantId)).to.deep.equal([]);
  });

  it('a new version is silent up to where the old one was, which may be before the end', async () => {
    await using under = await open();
    const { shelf, hold } = under;
    await shelf.install(saga(1));
    await hold(ACME, 3);
    await shelf.save(saga(1), stepTo(first));
    await shelf.install(saga(2));
    expect((await shelf.positions(saga(2), ACME))[0]).to.deep.include({ seq: 0, mutedTo: 1 });
    expect((await shelf.positions(saga(1), ACME))[0]).to.deep.include({ seq: 1 });
  });
};
