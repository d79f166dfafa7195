import { expect } from 'chai';
import type { Measured } from '#replay-harness/measures.ts';
import type { ReplayStatement } from '#replay-harness/report.ts';
import { chartOf } from '#replay-harness/view/chart.ts';
import { pngOf } from '#replay-harness/view/image.ts';
import { pageOf } from '#replay-harness/view/page.ts';

const measured: Measured = {
  facts: 3_000,
  seconds: 3,
  factsPerSecond: 1_000,
  cpuSeconds: { user: 2.5, system: 0.5 },
  peakMiB: 123,
  chunkMs: { p50: 1, p95: 2, p99: 3, max: 4 },
  chunks: 9,
  stages: { 'waiting for fold': 1.25, 'threads: prove': 0.75, digest: 0.0001 },
  samples: [
    { at: 0, facts: 0, rssMiB: 90 },
    { at: 1, facts: 500, rssMiB: 110 },
    { at: 3, facts: 3_000, rssMiB: 123 },
  ],
};
const statement = {
  subject: [{ name: '<script>alert("x")</script>', digest: { sha256: 'a'.repeat(64) } }],
  predicate: {
    verdict: 'sound',
    compared: true,
    finished_at: '2026-11-21T12:00:00.000Z',
    source: { kind: 'fixture', store: 'memory' },
    settings: { workers: 2, batch_size: 1_000 },
    program: { version: '0.1.0', source: 'b'.repeat(64), lockfile: 'c'.repeat(64) },
    machine: { node: '24', v8: '13', openssl: '3', platform: 'linux', cpu: 'a & b', cores: 2, memoryMiB: 1 },
    outcome: {
      arrivals: 1_234_567,
      facts: 1_234_567,
      repeats: 0,
      conflicts: 0,
      chains: [],
      models: [{ projection: 'receipts', version: 1, rows: 7, digest: 'd'.repeat(64) }],
    },
    differences: [],
    halts: [],
    measured,
  },
} as unknown as ReplayStatement;

describe('replay-harness/view', function () {
  this.timeout(30_000);

  it('draws throughput, memory and stages as one SVG', () => {
    const svg = chartOf(measured);
    expect(svg).to.match(/^<svg [^>]*width="960"/);
    for (const text of [
      'Facts per second',
      'Memory, MiB',
      'Seconds by stage',
      'waiting for fold',
      'threads: prove',
    ])
      expect(svg).to.include(text);
    // Too short to be seen.
    expect(svg).to.not.include('>digest<');
    // Other measurements are another picture.
    expect(chartOf({ ...measured, samples: measured.samples.slice(0, 2) })).to.not.equal(svg);
  });

  it('is a page without scripts, addresses and unescaped texts', () => {
    const page = pageOf({ statement, kid: 'key-1', chart: chartOf(measured) });
    expect(page).to.include('&lt;script&gt;').and.include('a &amp; b').and.include('sound, as expected');
    expect(page).to.include('1\u202f234\u202f567').and.include('d'.repeat(64)).and.include('<svg ');
    expect(page).to.not.match(/<script|<img|<link|\ssrc=|url\(http/);
    expect(page.match(/https?:\/\/[^\s"]+/g)?.filter((url) => !url.includes('www.w3.org'))).to.deep.equal([]);
  });

  it('says what is wrong', () => {
    const { predicate } = statement;
    const fault = { code: 'seq-gap', message: 'fact 3 is <missing>' } as const;
    const page = pageOf({
      statement: { ...statement, predicate: { ...predicate, verdict: 'unsound', fault } },
      kid: 'key-1',
      chart: '',
    });
    expect(page).to.include('class="not">unsound').and.include('fact 3 is &lt;missing&gt;');
  });

  it('is a PNG, twice as wide', () => {
    const png = pngOf(chartOf(measured));
    expect(png.subarray(1, 4).toString()).to.equal('PNG');
    expect(png.readUInt32BE(16)).to.equal(1_920);
    expect(png.length).to.be.greaterThan(10_000);
  });
});
