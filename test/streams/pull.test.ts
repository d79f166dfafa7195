import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { pullTogether } from '#streams/pull.ts';

const never = new AbortController().signal;

describe('streams/pull', () => {
  it('takes everything in order, in groups while one is on its way, and pulls no more than it may', async () => {
    let pulled = 0;
    let taken = 0;
    let most = 0;
    const groups: (readonly number[])[] = [];
    const source = async function* () {
      for (let item = 0; item < 50; item += 1) {
        pulled += 1;
        most = Math.max(most, pulled - taken);
        yield item;
      }
    };
    await pullTogether(source, {
      ahead: 4,
      prepare: (item) => item * 2,
      take: async (group) => {
        await pause(1);
        groups.push(group);
        taken += group.length;
      },
      signal: never,
    });
    expect(groups.flat()).to.deep.equal(Array.from({ length: 50 }, (_, item) => item * 2));
    expect(groups.some((group) => group.length > 1)).to.equal(true);
    expect(most).to.equal(4);
  });

  for (const where of ['prepare', 'take'] as const)
    it(`a failure of ${where} ends the source, which waits for more, and is what it rejects with`, async () => {
      let ended = false;
      const source = async function* (signal: AbortSignal) {
        try {
          yield 1;
          await pause(60_000, undefined, { signal }).catch(() => undefined);
        } finally {
          ended = true;
        }
      };
      const fail = (): never => {
        throw new Error('it broke');
      };
      const pulling = pullTogether(source, {
        ahead: 4,
        prepare: where === 'prepare' ? fail : (item) => item,
        take: async () => (where === 'take' ? fail() : undefined),
        signal: never,
      });
      expect(await pulling.catch((error: Error) => error.message)).to.equal('it broke');
      expect(ended).to.equal(true);
    });

  it('the signal ends it once what was pulled is taken', async () => {
    const ending = new AbortController();
    const taken: number[] = [];
    await pullTogether(
      async function* (signal) {
        for (let item = 1; !signal.aborted; item += 1) yield item;
      },
      {
        ahead: 2,
        prepare: (item) => item,
        take: async (group) => {
          taken.push(...group);
          if (taken.length >= 7) ending.abort();
        },
        signal: ending.signal,
      },
    );
    expect(taken).to.deep.equal(taken.map((_, index) => index + 1));
    expect(taken.length).to.be.within(7, 10);
  });
});
