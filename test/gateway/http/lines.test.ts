import { expect } from 'chai';
import fc from 'fast-check';
import { inOrder } from '#gateway/http/in-order.ts';
import { type LineLimits, readLines } from '#gateway/http/lines.ts';

const LIMITS: LineLimits = { lineBytesMax: 100, batchBytesMax: 10_000, linesMax: 50 };

const from = async function* (chunks: readonly Uint8Array[]): AsyncGenerator<Buffer> {
  for (const chunk of chunks) yield Buffer.from(chunk);
};

const read = async (chunks: readonly Uint8Array[], limits: Partial<LineLimits> = {}) => {
  const lines = [];
  for await (const line of readLines(from(chunks), { ...LIMITS, ...limits })) {
    lines.push([line.number, line.kind === 'line' ? line.bytes.toString() : line.kind]);
  }
  return lines;
};

describe('gateway/http: lines', () => {
  it('are the same however the text was cut into chunks', async () => {
    const line = fc.stringMatching(/^[a-z ]{0,120}$/);
    await fc.assert(
      fc.asyncProperty(
        fc.array(line, { maxLength: 40 }),
        fc.array(fc.nat(4_000), { maxLength: 30 }),
        async (texts, cuts) => {
          const whole = Buffer.from(texts.join('\n'));
          const places = [
            0,
            ...cuts.map((cut) => cut % (whole.length + 1)).sort((a, b) => a - b),
            whole.length,
          ];
          const chunks = places.slice(1).map((end, index) => whole.subarray(places[index], end));
          const expected = texts.flatMap((text, index) =>
            text.trim() === ''
              ? []
              : [[index + 1, text.length > 100 && text.trim() !== '' ? 'line-too-long' : text]],
          );
          expect(await read(chunks)).to.deep.equal(expected);
          expect(await read([whole])).to.deep.equal(expected);
        },
      ),
    );
  });

  it('end at the limits of the batch, and say where', async () => {
    expect(await read([Buffer.from('a\nb\n\nc\nd')], { linesMax: 3 })).to.deep.equal([
      [1, 'a'],
      [2, 'b'],
      [4, 'c'],
      [5, 'too-many-lines'],
    ]);
    expect(await read([Buffer.from('a\nb'), Buffer.from('c\nd')], { batchBytesMax: 5 })).to.deep.equal([
      [1, 'a'],
      [2, 'batch-too-large'],
    ]);
  });

  it('of exactly the limit are whole', async () => {
    const line = 'x'.repeat(100);
    expect(await read([Buffer.from(`${line}\n${line}y\n${line}`)])).to.deep.equal([
      [1, line],
      [2, 'line-too-long'],
      [3, line],
    ]);
    expect(await read([...`${line}\n${line}yy\n`].map((char) => Buffer.from(char)))).to.deep.equal([
      [1, line],
      [2, 'line-too-long'],
    ]);
  });
});

describe('gateway/http: in order', () => {
  const count = async function* (until: number, taken: { count: number }): AsyncGenerator<number> {
    for (let item = 0; item < until; item += 1) {
      taken.count += 1;
      yield item;
    }
  };
  const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

  it('results come in the order of the work, and no more is under way than the window allows', async () => {
    let underWay = 0;
    let most = 0;
    const work = async (item: number): Promise<number> => {
      underWay += 1;
      most = Math.max(most, underWay);
      await wait((item * 7) % 5);
      underWay -= 1;
      return item;
    };
    const results = [];
    for await (const result of inOrder(count(60, { count: 0 }), work, {
      items: 8,
      weight: 1_000,
      weigh: () => 1,
    }))
      results.push(result);
    expect(results).to.deep.equal(Array.from({ length: 60 }, (_, index) => index));
    expect(most).to.equal(8);
  });

  it('weight bounds it too, and one heavy item passes alone', async () => {
    let underWay = 0;
    let most = 0;
    const work = async (item: number): Promise<number> => {
      underWay += 1;
      most = Math.max(most, underWay);
      await wait(1);
      underWay -= 1;
      return item;
    };
    const results = [];
    for await (const result of inOrder(count(10, { count: 0 }), work, {
      items: 8,
      weight: 10,
      weigh: () => 11,
    }))
      results.push(result);
    expect(results).to.have.lengthOf(10);
    expect(most).to.equal(1);
  });

  it('reads no further than the window while nobody takes results', async () => {
    const taken = { count: 0 };
    const results = inOrder(count(1_000, taken), async (item) => item, {
      items: 10,
      weight: 1_000,
      weigh: () => 1,
    });
    expect((await results.next()).value).to.equal(0);
    await wait(5);
    expect(taken.count).to.be.at.most(12);
    await results.return(undefined);
    await wait(5);
    expect(taken.count).to.be.at.most(12);
  });

  it('a source that fails ends it with that error, after the results before it', async () => {
    const source = async function* () {
      yield 1;
      yield 2;
      throw new Error('cut');
    };
    const results: number[] = [];
    let failure: unknown;
    try {
      for await (const result of inOrder(source(), async (item) => item, {
        items: 10,
        weight: 10,
        weigh: () => 1,
      }))
        results.push(result);
    } catch (error) {
      failure = error;
    }
    expect(results).to.deep.equal([1, 2]);
    expect(failure).to.have.property('message', 'cut');
  });
});
