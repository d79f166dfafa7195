import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { readState } from '#gateway/cli/replay-state.ts';
import { projectors } from '#projectors/index.ts';
import type { Expectation } from '#replay-harness/fixtures/format.ts';
import { plantedProjector, replayBench, textFeed } from './replayed.ts';

const STATE_CHILD = fileURLToPath(new URL('state-child.ts', import.meta.url));

describe('replay-harness/replay', function () {
  this.timeout(60_000);
  const bench = replayBench();
  let text: string;
  let lines: readonly string[];
  let expected: Expectation;
  before(() => {
    text = bench.generate();
    lines = text.trimEnd().split('\n');
    expected = (JSON.parse(lines.at(-1) as string) as { expect: Expectation }).expect;
  });

  /** The fixture with one line changed. */
  const changed = (index: number, change: (line: string) => string): string =>
    `${lines.map((line, at) => (at === index ? change(line) : line)).join('\n')}\n`;
  const indexOf = (test: (line: string) => boolean): number => lines.findIndex(test);

  it('comes to what the fixture says, and to nothing else', async () => {
    const result = await bench.replay(text);
    expect(result).to.deep.include({ verdict: 'sound', differences: [], compared: true, fault: undefined });
    expect(result.outcome).to.deep.equal(expected);
  });

  it('comes to the same whatever the chunks, the batches and the threads', async () => {
    for (const [chunkBytes, batchSize, workers] of [
      [1, 1, 0],
      [7_000, 7, 0],
      [20_000, 1_000, 2],
      [10_000_000, 20_000, 1],
    ] as const) {
      const result = await bench.replay(textFeed(text, { chunkBytes }), { batchSize, workers });
      expect(result.outcome, `${chunkBytes} ${batchSize} ${workers}`).to.deep.equal(expected);
    }
  });

  it('a flipped byte is found, whatever it is in, and the fact is named', async () => {
    const at = indexOf((line) => line.includes('"tenant":"tenant-002","seq":40,'));
    const flips: readonly ((line: string) => string)[] = [
      (line) =>
        line
          .replace('"decision":"allow"', '"decision":"alloW"')
          .replace('"decision":"deny"', '"decision":"denY"'),
      (line) => line.replace(/"hash":"(.)/, (_, digit: string) => `"hash":"${digit === '0' ? '1' : '0'}`),
      (line) =>
        line.replace(
          /"recorded_at":(\d+)(\d)/,
          (_, rest: string, last: string) => `"recorded_at":${rest}${(Number(last) + 1) % 10}`,
        ),
      (line) => line.replace(/"actor":"(.)/, '"actor":"~'),
    ];
    for (const flip of flips) {
      const forged = changed(at, flip);
      expect(forged).to.not.equal(text);
      const { verdict, fault } = await bench.replay(forged);
      expect(verdict).to.equal('unsound');
      expect(fault).to.include({ code: 'hash-mismatch', tenant: 'tenant-002', seq: 40, line: at + 1 });
    }
  });

  it('a reordered pair of facts is found, and the place is named', async () => {
    const one = indexOf((line) => line.includes('"tenant":"tenant-001","seq":30,'));
    const other = indexOf((line) => line.includes('"tenant":"tenant-001","seq":31,'));
    const swapped = lines.map((line, at) => (at === one ? lines[other] : at === other ? lines[one] : line));
    const { fault } = await bench.replay(`${swapped.join('\n')}\n`);
    expect(fault).to.include({ code: 'seq-gap', tenant: 'tenant-001', seq: 31, line: one + 1 });
  });

  it('a missing fact, a fact twice and another chain are found, also at the border of two chunks', async () => {
    const at = indexOf((line) => line.includes('"tenant":"tenant-001","seq":30,'));
    for (const chunkBytes of [1, 10_000_000]) {
      const without = textFeed(changed(at, () => '').replace('\n\n', '\n'), { chunkBytes });
      expect((await bench.replay(without)).fault).to.include({ code: 'seq-gap', seq: 31 });
      const twice = textFeed(
        changed(at, (line) => `${line}\n${line}`),
        { chunkBytes },
      );
      expect((await bench.replay(twice)).fault).to.include({ code: 'seq-gap', seq: 30 });
      const other = textFeed(
        changed(
          at,
          () =>
            bench
              .generate({ seed: 9 })
              .split('\n')
              .find((line) => line.includes('"tenant":"tenant-001","seq":30,')) ?? '',
        ),
        { chunkBytes },
      );
      expect((await bench.replay(other)).fault).to.include({ code: 'hash-mismatch', seq: 30 });
    }
  });

  it('what says that it is a repetition must be one, and a conflict none', async () => {
    const repeat = indexOf((line) => line.startsWith('{"again":"repeat"'));
    const conflict = indexOf((line) => line.startsWith('{"again":"conflict"'));
    expect(repeat).to.be.greaterThan(0);
    expect(conflict).to.be.greaterThan(0);
    const calling = (word: string) => (line: string) => line.replace(/"again":"\w+"/, `"again":"${word}"`);
    expect((await bench.replay(changed(repeat, calling('conflict')))).fault?.message).to.match(
      /calls itself a conflict with fact \d+ of tenant-\d+, but is that very fact/,
    );
    expect((await bench.replay(changed(conflict, calling('repeat')))).fault?.message).to.match(
      /calls itself a repetition of fact \d+ of tenant-\d+, which is another/,
    );
  });

  it('what comes out otherwise than the fixture says is told line by line', async () => {
    const forged = changed(lines.length - 1, (line) =>
      line
        .replace(/"repeats":\d+/, '"repeats":999')
        .replace(/("root":")./, '$1z')
        .replace(/("digest":")./, '$1z'),
    );
    const { verdict, differences } = await bench.replay(forged);
    expect(verdict).to.equal('differs');
    expect(differences).to.have.length(3);
    expect(differences[0]).to.match(/^repeats: expected 999, came to \d+$/);
    expect(differences[1]).to.match(/^the Merkle root of [a-z0-9-]+: expected z/);
    expect(differences[2]).to.match(/^the digest of tenants: expected z/);
  });

  it('bytes that are no UTF-8 are told from those that are, and the line is named', async () => {
    const at = indexOf((line) => /[^\u0000-\u007f]/.test(line));
    const bytes = Buffer.from(text);
    const place = Buffer.from(lines.slice(0, at).join('\n')).length + 1;
    const broken = bytes.findIndex((byte, index) => index > place && byte > 0x7f);
    bytes[broken + 1] = 0x20;
    const { fault } = await bench.replay(textFeed(bytes, { chunkBytes: 10_000_000 }));
    expect(fault).to.deep.include({ code: 'malformed-line', line: at + 1 });
    expect(fault?.message).to.include('is no UTF-8');
  });

  it('a file that is no fixture, or is cut off, is told from one', async () => {
    expect((await bench.replay('{"format":"prov-ledger/export/1"}\n')).fault?.message).to.match(
      /line 1 does not name the format prov-ledger\/fixture\/1/,
    );
    expect((await bench.replay(changed(5, (line) => line.slice(0, 50)))).fault).to.include({
      code: 'malformed-line',
      line: 6,
    });
    expect(await bench.replay(lines.slice(0, -1).join('\n'))).to.include({
      verdict: 'sound',
      compared: false,
    });
  });

  it('takes as many events as it is told', async () => {
    const { outcome, compared, verdict } = await bench.replay(
      textFeed(text, { events: 100, chunkBytes: 9_000 }),
    );
    expect(outcome.arrivals).to.equal(100);
    expect({ compared, verdict }).to.deep.equal({ compared: false, verdict: 'sound' });
  });

  it('stopped anywhere, it goes on from there and comes to the same', async () => {
    for (const stopAfter of [1, 3, 6]) {
      const stop = new AbortController();
      let chunks = 0;
      const first = await bench.replay(textFeed(text), {
        signal: stop.signal,
        onProgress: () => {
          chunks += 1;
          if (chunks === stopAfter) stop.abort();
        },
      });
      expect(first.verdict).to.equal('interrupted');
      expect(first.outcome.facts).to.be.within(1, expected.facts - 1);
      // As it would come back from a file.
      const from = JSON.parse(JSON.stringify(first.state)) as NonNullable<typeof first.state>;
      const second = await bench.replay(textFeed(text), { from, workers: stopAfter === 3 ? 2 : 0 });
      expect(second).to.deep.include({ verdict: 'sound', compared: true });
      expect(second.outcome).to.deep.equal(expected);
    }
  });

  it('killed on the way, it goes on from what was written last, and comes to the same', async () => {
    const folder = mkdtempSync(join(bench.folder, 'killed-'));
    const fixture = join(folder, 'fixture.ndjson');
    writeFileSync(fixture, text);
    const child = spawn(process.execPath, [STATE_CHILD, fixture, folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const ended = once(child, 'close');
    while (child.exitCode === null && !existsSync(join(folder, 'replay.json'))) await pause(5);
    await pause(60);
    child.kill('SIGKILL');
    await ended;
    expect(said).to.equal('');
    const from = await readState(folder);
    expect(from?.course.counts.facts).to.be.within(50, expected.facts - 1);
    const result = await bench.replay(text, { folder, from });
    expect(result.outcome).to.deep.equal(expected);
    expect(result.verdict).to.equal('sound');
  });

  it('a fact that a read model cannot take halts it for that tenant, and nothing else', async () => {
    const halting = plantedProjector((_, fact) => {
      if (fact.tenant === 'tenant-002' && fact.seq >= 20) throw new Error('no such thing');
      return { value: String(fact.seq) };
    });
    const { halts, verdict, outcome } = await bench.replay(text, { projectors: [...projectors, halting] });
    expect(verdict).to.equal('sound');
    expect(halts).to.deep.equal([
      { projection: 'planted', tenant: 'tenant-002', seq: halts[0]?.seq, message: 'no such thing' },
    ]);
    expect(outcome.models.slice(0, -1)).to.deep.equal(expected.models);
    expect(outcome.models.at(-1)?.halted).to.deep.equal([{ tenant: 'tenant-002', seq: halts[0]?.seq }]);
  });

  describe('the purity guard', () => {
    const impure: readonly [what: string, fold: (fact: { occurredAt: number }) => string][] = [
      ['Date.now', () => String(Date.now())],
      ['new Date()', () => new Date().toISOString()],
      ['Math.random', () => String(Math.random())],
      ['performance.now', () => String(performance.now())],
      ['crypto.randomUUID', () => crypto.randomUUID()],
      ['process.env', () => process.env['HOME'] ?? ''],
      ['setTimeout', () => String(setTimeout(() => undefined, 1))],
      ['String.localeCompare', () => ['b', 'a'].sort((a, b) => a.localeCompare(b)).join()],
      ['Intl.DateTimeFormat', ({ occurredAt }) => new Intl.DateTimeFormat().format(occurredAt)],
      ['Date.getHours', ({ occurredAt }) => String(new Date(occurredAt).getHours())],
      ['fetch', () => String(fetch('http://127.0.0.1:9'))],
    ];
    for (const [what, fold] of impure) {
      it(`stops at ${what} in a fold, and names file and line`, async () => {
        const planted = plantedProjector((_, fact) => ({ value: fold(fact) }));
        const { verdict, fault } = await bench.replay(text, { projectors: [planted] });
        expect(verdict).to.equal('unsound');
        expect(fault).to.include({ code: 'impure' });
        expect(fault?.message)
          .to.include(`${what} in domain code, at `)
          .and.match(/replay\.test\.ts:\d+:\d+/);
      });
    }

    it('lets the same pass outside domain code, and pure dates within', async () => {
      const planted = plantedProjector((_, { occurredAt }) => ({
        value: new Date(occurredAt).toISOString(),
      }));
      expect(await bench.replay(text, { projectors: [planted] })).to.include({ verdict: 'sound' });
      expect(Date.now()).to.be.greaterThan(0);
      expect(new Date().getTime()).to.be.greaterThan(0);
      expect(process.env).to.be.an('object');
      expect(new Date() instanceof Date).to.equal(true);
    });
  });
});
