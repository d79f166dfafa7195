import { expect } from 'chai';
import { jobsWithin, readModelsWithin, storeWithin } from '#gateway/http/deadline.ts';
import type { FactId, Seq, StreamName } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';
import { append, draft, refused } from '#test/contracts/ledger-adapter.ts';
import { ACME, memoryLedger } from '#test/support/memory-ledger.ts';

const never = () => new Promise<never>(() => undefined);

const silent: StreamStore = {
  ledgerId: 'x',
  append: never,
  head: never,
  heads: never,
  readStream: never,
  find: never,
  proof: never,
  read: () => ({ [Symbol.asyncIterator]: () => ({ next: never, return: never }) }),
  [Symbol.asyncDispose]: never,
};

describe('gateway/http: a store that does not answer', () => {
  const store = storeWithin(30, silent);

  it('leaves an append in doubt', async () => {
    expect(await refused(append(store, ACME, draft()))).to.have.property('code', 'in-doubt');
  });

  const questions: { readonly [name: string]: () => Promise<unknown> } = {
    head: () => store.head(ACME),
    heads: () => store.heads(),
    readStream: () => store.readStream(ACME, 'tests-a' as StreamName),
    find: () => store.find(ACME, 'x' as FactId),
    proof: () => store.proof(ACME, 1 as Seq),
    read: () => Array.fromAsync(store.read(ACME)),
  };
  for (const [name, ask] of Object.entries(questions))
    it(`is unavailable to ${name}`, async () => {
      expect(await refused(ask())).to.have.property('code', 'unavailable');
    });

  it('covers every question of the port', () => {
    const asked = Object.keys(silent).filter((name) => name !== 'ledgerId');
    expect(new Set([...Object.keys(questions), 'append'])).to.deep.equal(new Set(asked));
  });

  it('is unavailable to what is asked of its read models, and to nothing that is done to them', async () => {
    const done = { build: 2 };
    const models = readModelsWithin(30, {
      names: [],
      lag: never,
      status: never,
      pause: never,
      resume: never,
      retry: never,
      parked: never,
      skip: never,
      rollback: never,
      dropOld: never,
      rebuild: () => new Promise((resolve) => setTimeout(() => resolve(done as never), 90)),
      verify: never,
    });
    expect(await refused(models.lag())).to.have.property('code', 'unavailable');
    expect(await refused(models.status(ACME))).to.have.property('code', 'unavailable');
    expect(await refused(models.parked('receipts', 1))).to.have.property('code', 'unavailable');
    expect(await models.rebuild({} as never)).to.equal(done);
  });

  it('is unavailable to questions about jobs', async () => {
    const jobs = jobsWithin(30, {
      begin: never,
      cancel: never,
      find: never,
      list: never,
      [Symbol.asyncDispose]: never,
    });
    expect(await refused(jobs.find('receipts', 'x'))).to.have.property('code', 'unavailable');
    expect(await refused(jobs.list('receipts'))).to.have.property('code', 'unavailable');
  });

  it('that does answer is passed through, pages and failures too, and a reader that stops is heard', async () => {
    const { store: real } = await memoryLedger();
    const timely = storeWithin(10_000, real);
    expect((await append(timely, ACME, draft())).kind).to.equal('appended');
    expect(await Array.fromAsync(timely.read(ACME, { pageSize: 1 }))).to.have.length(2);
    expect(await timely.head(ACME)).to.deep.equal(await real.head(ACME));
    let stopped = false;
    const pages = async function* () {
      try {
        for (;;) yield [];
      } finally {
        stopped = true;
      }
    };
    for await (const _page of storeWithin(10_000, { ...real, read: pages }).read(ACME)) break;
    expect(stopped).to.equal(true);
    const failing = storeWithin(10_000, { ...real, head: () => Promise.reject(new Error('as it is')) });
    expect(await refused(failing.head(ACME))).to.have.property('message', 'as it is');
  });
});
