import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { attestations } from '#commands/attestations.ts';
import { runCommand } from '#commands/run.ts';
import { memorySagaShelf } from '#sagas/memory/shelf.ts';
import { type Dispatch, runSagas, type SagaHalt, type SagaRunOptions } from '#sagas/run.ts';
import { type AnySaga, reactionId } from '#sagas/saga.ts';
import { traceSaga } from '#sagas/trace.ts';
import type { Fact } from '#schemas/event.ts';
import type { FactId, Instant, TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import { ACME, chain, chainsOf, feedOf, GLOBEX, type Said } from '#test/projectors/chains.ts';
import { memoryLedger } from '#test/support/memory-ledger.ts';

const filled = (to_seq: number): Said => ({
  type: 'attestations.BackfillCompleted',
  data: { route: 'receipts', to_seq, operations: 1 },
});

/** Counts, and asks for a gate to be closed with every fact. */
const counting = (over: Partial<AnySaga> = {}): AnySaga => ({
  name: 'counting',
  version: 1,
  summary: 'counts',
  handles: ['attestations.BackfillCompleted'],
  key: ({ data }: Fact) => (data as { route: string }).route,
  initial: 0,
  fold: (count: number) => count + 1,
  react: ({ after }) => [
    { domain: 'gates', command: { type: 'RollBackWritePath', route: 'receipts', reason: `${after}` } },
  ],
  ...over,
});

const run = async (over: Partial<SagaRunOptions> & Pick<SagaRunOptions, 'feed' | 'shelf'>) => {
  const dispatched: Dispatch[] = [];
  const halts: SagaHalt[] = [];
  await runSagas({
    sagas: [counting()],
    dispatch: async (dispatch) => {
      dispatched.push(dispatch);
      return { kind: 'recorded' };
    },
    signal: new AbortController().signal,
    untilCaughtUp: true,
    wait: async () => undefined,
    onHalt: (halt) => halts.push(halt),
    ...over,
  });
  return { dispatched, halts };
};

const nobody = () => memorySagaShelf(async () => []);
const reasons = (dispatched: readonly Dispatch[]) =>
  dispatched.map(({ reaction }) => (reaction.command as { reason: string }).reason);

describe('sagas/run', () => {
  it('what follows carries an id, a time and a parent that come from the fact alone', async () => {
    const facts = chain(ACME, [filled(1)]);
    const { dispatched } = await run({ feed: feedOf(chainsOf(facts)), shelf: nobody() });
    expect(dispatched).to.deep.equal([
      {
        tenant: ACME,
        reaction: counting().react({ before: 0, after: 1, fact: {} as Fact })[0],
        key: reactionId('counting', facts[0]?.id as FactId, 0),
        actor: 'saga:counting',
        at: facts[0]?.recordedAt,
        opId: undefined,
        opParentId: facts[0]?.id,
      },
    ]);
  });

  it('goes on where it stood, with the states it had', async () => {
    const shelf = nobody();
    const facts = chain(ACME, [filled(1), filled(2), filled(3)]);
    await run({ feed: feedOf(chainsOf(facts.slice(0, 2))), shelf });
    const { dispatched } = await run({ feed: feedOf(chainsOf(facts)), shelf });
    expect(reasons(dispatched)).to.deep.equal(['3']);
  });

  it('folds history from before its time in silence', async () => {
    const facts = chain(ACME, [filled(1), filled(2), filled(3)]);
    const shelf = memorySagaShelf(async () => [{ tenant: ACME, seq: facts[1]?.seq as never }]);
    const { dispatched } = await run({ feed: feedOf(chainsOf(facts)), shelf });
    expect(reasons(dispatched)).to.deep.equal(['3']);
  });

  it('a fact that cannot be taken halts its tenant there, and no other; resumed, the same fact is tried again', async () => {
    const shelf = nobody();
    const acme = chain(ACME, [filled(1), filled(2), filled(3)]);
    const feed = feedOf(chainsOf(acme, chain(GLOBEX, [filled(1), filled(2)])));
    const brittle = counting({
      fold: (count: number, fact: Fact) => {
        if (fact.tenant === ACME && fact.seq === 2) throw new Error('no\0 such thing');
        return count + 1;
      },
    });
    const { dispatched, halts } = await run({ feed, shelf, sagas: [brittle] });
    expect(dispatched.map(({ tenant }) => tenant)).to.have.members([ACME, GLOBEX, GLOBEX]);
    expect(halts).to.deep.equal([
      { saga: 'counting', tenant: ACME, seq: 2, id: acme[1]?.id, message: 'no\\0 such thing' },
    ]);
    expect((await run({ feed, shelf })).dispatched).to.deep.equal([]);
    await shelf.resume(counting(), ACME);
    expect(reasons((await run({ feed, shelf })).dispatched)).to.deep.equal(['2', '3']);
  });

  it('what cannot be recorded is the saga’s defect, and halts it; what is refused is an answer', async () => {
    const facts = chain(ACME, [filled(1), filled(2)]);
    const feed = feedOf(chainsOf(facts));
    const message = '/reason is missing';
    const { halts } = await run({
      feed,
      shelf: nobody(),
      dispatch: async () => ({ kind: 'malformed', message }),
    });
    expect(halts[0]).to.deep.include({ seq: 1, message: `RollBackWritePath cannot be recorded: ${message}` });
    const refused = await run({
      feed,
      shelf: nobody(),
      dispatch: async () => ({ kind: 'refused', message }),
    });
    expect(refused.halts).to.deep.equal([]);
  });

  it('another log halts it, also one that is as long', async () => {
    const shelf = nobody();
    await run({ feed: feedOf(chainsOf(chain(ACME, [filled(1), filled(2)]))), shelf });
    for (const other of [
      [filled(1), filled(2)],
      [filled(1), filled(2), filled(3)],
    ]) {
      const { halts, dispatched } = await run({
        feed: feedOf(chainsOf(chain(ACME, other, ' other'))),
        shelf,
      });
      expect(dispatched).to.deep.equal([]);
      expect(halts)
        .to.have.nested.property('[0].message')
        .that.matches(/the log is not the one that was read/);
      await shelf.resume(counting(), ACME);
    }
  });

  it('infrastructure that fails is waited for, and parks nothing', async () => {
    let failures = 3;
    const retries: number[] = [];
    const { dispatched, halts } = await run({
      feed: feedOf(chainsOf(chain(ACME, [filled(1)]))),
      shelf: nobody(),
      onRetry: (_, delayMs) => retries.push(delayMs),
      dispatch: async () => {
        if (failures-- > 0) throw new StreamError('unavailable', 'away');
        return { kind: 'recorded' };
      },
    });
    expect(retries).to.deep.equal([50, 100, 200]);
    expect([...dispatched, ...halts]).to.deep.equal([]);
  });
});

describe('sagas/trace', () => {
  it('tells what followed from each fact, and what did not', async () => {
    const { store } = await memoryLedger();
    const context = { tenant: ACME as TenantId, actor: 'test', at: 0 as Instant };
    const record = (to: number) =>
      runCommand(
        { store, decider: attestations },
        { type: 'RecordBackfill', route: 'receipts', toSeq: to, operations: 1 },
        { ...context, key: randomUUID() },
      );
    const first = await record(1);
    await record(2);
    if (first.kind !== 'recorded') throw new Error(first.kind);
    const key = reactionId('counting', first.facts[0]?.fact.id as FactId, 0);
    await runCommand(
      { store, decider: attestations },
      { type: 'RecordBackfill', route: 'other', toSeq: 1, operations: 1 },
      { ...context, key },
    );
    const steps = [];
    for await (const step of traceSaga({ store, saga: counting(), tenant: ACME, key: 'receipts' }))
      steps.push(step);
    expect(steps.map(({ seq, before, after }) => ({ seq, before, after }))).to.deep.equal([
      { seq: 2, before: 0, after: 1 },
      { seq: 3, before: 1, after: 2 },
    ]);
    expect(steps.map(({ reactions }) => reactions[0]?.recorded?.seq)).to.deep.equal([4, undefined]);
  });
});
