import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'chai';
import { bulkShares } from '#gateway/http/bulk-shares.ts';

const SHARE = 4;

/** Pieces of work that end when they are told to, and the order in which they began. */
const workshop = () => {
  const clock = { now: 0 };
  const shares = bulkShares(() => clock.now);
  const begun: number[] = [];
  const ends: (() => void)[] = [];
  const send = (tenant: string, number: number): Promise<number> =>
    shares.inShare(tenant, () => {
      begun.push(number);
      return new Promise((resolve) => ends.push(() => resolve(number)));
    });
  const many = (tenant: string, count: number): readonly Promise<number>[] =>
    Array.from({ length: count }, (_, number) => send(tenant, number));
  /** Until nothing more begins by itself. */
  const settled = async (): Promise<void> => {
    for (let before = -1; before < begun.length; ) {
      before = begun.length;
      for (let turn = 0; turn < 4; turn += 1) await nextTurn();
    }
  };
  const endAll = (): void => {
    for (const end of ends.splice(0)) end();
  };
  return { clock, shares, begun, send, many, settled, endAll };
};

describe('gateway/http/bulk-shares', () => {
  it('a tenant that is alone has no share to keep to, single requests of its own or not', async () => {
    const { shares, begun, many, settled, endAll } = workshop();
    shares.asked('noisy');
    const results = many('noisy', 500);
    await settled();
    expect(begun).to.have.length(500);
    endAll();
    await Promise.all(results);
  });

  it('beside another one a share is under way, the rest follows in order, and each gets its own result', async () => {
    const { shares, begun, many, settled, endAll } = workshop();
    shares.asked('quiet');
    const results = many('noisy', 10);
    await settled();
    expect(begun).to.have.length(SHARE);
    for (const expected of [SHARE * 2, 10, 10]) {
      endAll();
      await settled();
      expect(begun).to.have.length(expected);
    }
    const numbers = Array.from({ length: 10 }, (_, number) => number);
    expect(begun).to.deep.equal(numbers);
    expect(await Promise.all(results)).to.deep.equal(numbers);
  });

  it('each tenant has a share of its own', async () => {
    const { shares, begun, many, settled } = workshop();
    shares.asked('quiet');
    void many('noisy', 100);
    void many('loud', 100);
    await settled();
    expect(begun).to.have.length(2 * SHARE);
  });

  it('one who asks and sends bulk keeps to its share because of another only', async () => {
    const { shares, begun, many, settled } = workshop();
    shares.asked('quiet');
    for (let count = 0; count < 10; count += 1) shares.asked('noisy');
    void many('noisy', 100);
    await settled();
    expect(begun).to.have.length(SHARE);
  });

  it('when the other has been silent for a second all that waits goes on', async () => {
    const { clock, shares, begun, many, settled, endAll } = workshop();
    shares.asked('quiet');
    void many('noisy', 1_000);
    await settled();
    expect(begun).to.have.length(SHARE);
    clock.now += 1_001;
    endAll();
    await settled();
    expect(begun).to.have.length(1_000);
  });

  it('work that fails gives its place back', async () => {
    const { shares, send, settled, begun, endAll } = workshop();
    shares.asked('quiet');
    const failures = Array.from({ length: 100 }, () =>
      shares.inShare('noisy', () => Promise.reject(new Error('no'))).catch((error: Error) => error.message),
    );
    expect(new Set(await Promise.all(failures))).to.deep.equal(new Set(['no']));
    const last = send('noisy', 7);
    await settled();
    expect(begun).to.deep.equal([7]);
    endAll();
    expect(await last).to.equal(7);
  });
});
