import { expect } from 'chai';
import { figure, pairs, table, visible } from '#gateway/cli/output.ts';
import { describe as describeProgress, duration, startProgress } from '#gateway/cli/progress.ts';

describe('gateway/cli progress', () => {
  it('says how much, how fast, and how long still', () => {
    const words = { unit: 'lines', verb: 'ingested' };
    expect(describeProgress(words, { done: 12_000, share: 0.25 }, 2)).to.equal(
      'ingested 12,000 lines, 25 %, 6,000/s, 6 s left',
    );
    expect(describeProgress(words, { done: 0 }, 0)).to.equal('ingested 0 lines, 0/s');
    expect(describeProgress(words, { done: 9, share: 1.2, note: 'last' }, 3)).to.equal(
      'ingested 9 lines, 100 %, 3/s, 0 s left, last',
    );
    expect([1.2, 89, 90, 5_399, 7_200].map(duration)).to.deep.equal([
      '2 s',
      '89 s',
      '2 min',
      '90 min',
      '2.0 h',
    ]);
  });

  it('paints one line on a terminal, no wider than it, and wipes it at the end', async () => {
    let painted = '';
    const terminal = { isTTY: true, columns: 20, write: (text: string) => (painted += text) };
    const progress = startProgress({
      terminal,
      unit: 'facts',
      verb: 'verified',
      state: () => ({ done: 1_000_000 }),
    });
    await new Promise((resolve) => setTimeout(resolve, 250));
    progress.stop();
    expect(painted)
      .to.match(/^\r\u001b\[2Kverified 1,000,000 f?a?/)
      .and.to.match(/\r\u001b\[2K$/);
    for (const line of painted.split('\r\u001b[2K')) expect(line.length).to.be.lessThan(20);
  });
});

describe('gateway/cli output', () => {
  it('writes figures alike on every machine', () => {
    expect([0, 999, 1_000, 1_234_567].map(figure)).to.deep.equal(['0', '999', '1,000', '1,234,567']);
  });

  it('lets nothing through that a terminal would obey', () => {
    expect(visible('a\u001b[31mb\u0007\u009b\u202e\n')).to.equal('a\\u001b[31mb\\u0007\\u009b\\u202e\\u000a');
    expect(
      table(
        ['A', 'B'],
        [
          ['x\u001b', null],
          [12, { k: 1 }],
        ],
      ),
    ).to.equal('A        B\nx\\u001b  -\n12       {"k":1}');
    expect(
      pairs([
        ['long name', 1],
        ['n', new Date(0)],
      ]),
    ).to.equal('long name  1\nn          1970-01-01T00:00:00.000Z');
  });
});
