// A hundred thousand events with every run of the tests: generated, packed, unpacked, proved and folded on two threads.
import { join } from 'node:path';
import { expect } from 'chai';
import { fixtureFeedOf } from '#gateway/cli/replay-source.ts';
import { writeWhole } from '#gateway/cli/whole-file.ts';
import { projectors } from '#projectors/index.ts';
import { generateFixture } from '#replay-harness/fixtures/generate.ts';
import { replayBench } from './replayed.ts';

describe('a replay of a hundred thousand events', function () {
  this.timeout(300_000);
  const bench = replayBench();

  it('comes to what was expected when they were made, in little memory', async () => {
    const { folder } = bench;
    const events = 100_000;
    const path = join(folder, 'large.ndjson.gz');
    await writeWhole(path, generateFixture({ events, seed: 11, tenants: 5, projectors, folder }));
    const { signal } = new AbortController();
    const before = process.memoryUsage.rss();
    const result = await bench.replay(await fixtureFeedOf(path, { events: undefined, signal }), {
      workers: 2,
    });
    expect(result.fault).to.equal(undefined);
    expect(result.differences).to.deep.equal([]);
    expect(result).to.include({ verdict: 'sound', compared: true });
    expect(result.outcome.arrivals).to.equal(events);
    const most = Math.max(...result.measured.samples.map(({ rssMiB }) => rssMiB));
    expect(most - before / 2 ** 20).to.be.lessThan(400);
  });
});
