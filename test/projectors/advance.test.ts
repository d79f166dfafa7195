import { expect } from 'chai';
import { runProjectors } from '#projectors/run.ts';
import { acquaintance, met } from './acquaintance.ts';
import { ACME, chain, chainsOf, feedOf } from './chains.ts';
import { memorySink } from './memory-sink.ts';
import { decode } from './tally.ts';

describe('a read model whose steps are not taken although its checkpoint stands', () => {
  const following = async (refusals: number) => {
    const { sink, checkpoint } = memorySink();
    const waits: string[] = [];
    let left = refusals;
    await runProjectors({
      feed: feedOf(chainsOf(chain(ACME, [met('ada', 'bob'), met('bob', 'ada')]))),
      sink: {
        ...sink,
        apply: async (projector, step) =>
          left-- > 0 ? { kind: 'overtaken' } : await sink.apply(projector, step),
      },
      projectors: [acquaintance],
      decode,
      signal: new AbortController().signal,
      untilCaughtUp: true,
      wait: async () => undefined,
      onRetry: ({ code, message }) => waits.push(`${code}: ${message}`),
    });
    expect(checkpoint(acquaintance, ACME)).to.have.property('seq', 2);
    return waits;
  };

  it('tries again at once, since a lock may have been lost', async () => {
    expect(await following(20)).to.deep.equal([]);
  });

  it('says so after a while and waits, instead of asking for ever', async () => {
    expect(await following(30)).to.deep.equal([
      'unavailable: acquaintance of acme stands at 0, and a step from there is not taken',
    ]);
  });
});
