import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import zlib from 'node:zlib';
import { expect } from 'chai';
import fc from 'fast-check';
import { fileSource, type Source, type SourceError, streamSource } from '#gateway/ingest/source.ts';

const never = new AbortController().signal;

const linesOf = async (
  source: Source,
  signal = never,
): Promise<(readonly [number, string | undefined])[]> => {
  const lines: (readonly [number, string | undefined])[] = [];
  for await (const batch of source.lines(signal))
    for (const { number, bytes } of batch) lines.push([number, bytes?.toString()]);
  return lines;
};

const inChunks = (bytes: Buffer, size: number, maxLineBytes?: number): Source => {
  const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  );
  return streamSource('test', () => Readable.from(chunks), maxLineBytes);
};

const failure = async (work: Promise<unknown>): Promise<SourceError> =>
  await work.then(
    () => {
      throw new Error('nothing failed');
    },
    (error: SourceError) => error,
  );

describe('gateway/ingest source', () => {
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-source-'));
  after(() => rmSync(folder, { recursive: true }));

  it('cuts the same lines whatever the chunks are', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.stringMatching(/^[^\r\n]{0,20}$/)),
        fc.integer({ min: 1, max: 50 }),
        fc.boolean(),
        async (texts, size, ended) => {
          const whole = Buffer.from(`x\n${texts.join('\n')}${ended ? '\n' : ''}`);
          const expected = whole.toString().split('\n');
          if (expected.at(-1) === '') expected.pop();
          expect((await linesOf(inChunks(whole, size))).map(([, text]) => text)).to.deep.equal(expected);
        },
      ),
    );
  });

  it('takes off a byte order mark and carriage returns', async () => {
    expect(await linesOf(inChunks(Buffer.from('\ufeffa\r\n\r\nb'), 3))).to.deep.equal([
      [1, 'a'],
      [2, ''],
      [3, 'b'],
    ]);
  });

  it('passes over a line that is too long, and goes on behind it', async () => {
    const text = `a\n${'x'.repeat(100)}\nb\n${'y'.repeat(11)}`;
    expect(await linesOf(inChunks(Buffer.from(text), 7, 10))).to.deep.equal([
      [1, 'a'],
      [2, undefined],
      [3, 'b'],
      [4, undefined],
    ]);
  });

  it('knows gzip and zstd by their first bytes, not by their names', async () => {
    const text = Buffer.from('{"a":1}\n{"b":2}\n');
    const wanted = [
      [1, '{"a":1}'],
      [2, '{"b":2}'],
    ];
    for (const [name, bytes] of [
      ['gzip', zlib.gzipSync(text)],
      ['zstd', zlib.zstdCompressSync(text)],
      ['plain', text],
    ] as const) {
      const path = join(folder, `${name}.txt`);
      writeFileSync(path, bytes);
      const source = await fileSource(path);
      expect(await linesOf(source), name).to.deep.equal(wanted);
      expect(source.consumed(), name).to.equal(bytes.length);
      expect(source.size, name).to.equal(bytes.length);
    }
  });

  it('hands on what stands before a damage, then says what to do', async () => {
    const noise = Array.from({ length: 20_000 }, (_, index) => `{"n":${(index * 7919) % 100_003}}`).join(
      '\n',
    );
    const cut = zlib.gzipSync(noise);
    const seen: number[] = [];
    const read = async (): Promise<void> => {
      for await (const batch of inChunks(cut.subarray(0, cut.length - 2_000), 4_096).lines(never))
        seen.push(...batch.map(({ number }) => number));
    };
    const error = await failure(read());
    expect(error.code).to.equal('damaged');
    expect(error.message).to.match(/get the file again/);
    expect(seen.length).to.be.greaterThan(1_000);
  });

  it('names a file that is not there, and a folder', async () => {
    expect((await failure(fileSource(join(folder, 'none')))).message).to.match(/there is no such file/);
    expect((await failure(fileSource(folder))).message).to.match(/is a folder/);
  });

  it('ends without an error when it is aborted while it waits', async () => {
    const stop = new AbortController();
    const quiet = new Readable({ read: () => undefined });
    const reading = linesOf(
      streamSource('test', () => quiet),
      stop.signal,
    );
    quiet.push('a\n');
    setTimeout(() => stop.abort(), 20);
    expect(await reading).to.deep.equal([]);
  });
});
