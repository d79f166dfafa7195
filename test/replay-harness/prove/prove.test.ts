import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import type { AnyProjector } from '#projectors/batch.ts';
import { projectors } from '#projectors/index.ts';
import { chanceOf } from '#replay-harness/fixtures/chance.ts';
import type { Expectation } from '#replay-harness/fixtures/format.ts';
import { type Proof, prove } from '#replay-harness/prove/prove.ts';
import { shuffledPieces } from '#replay-harness/prove/shuffle.ts';
import type { Way } from '#replay-harness/prove/way.ts';
import { type ReplayWayOptions, replayWay } from '#replay-harness/prove/ways.ts';
import { plantedProjector, replayBench, textFeed, textPieces } from '../replayed.ts';
import { sorting } from './elsewhere.ts';

const run = promisify(execFile);
const ELSEWHERE = fileURLToPath(new URL('elsewhere.ts', import.meta.url));

describe('replay-harness/prove', function () {
  this.timeout(120_000);
  const bench = replayBench();
  let text: string;
  before(() => {
    text = bench.generate();
  });

  const way = (name: string, options: Partial<ReplayWayOptions> = {}): Way =>
    replayWay({
      name,
      feed: async (events) => textFeed(text, { events }),
      projectors,
      workers: 0,
      batchSize: 1_000,
      folder: bench.folder,
      ...options,
    });
  const proveWays = (ways: readonly Way[], all: readonly AnyProjector[] = projectors): Promise<Proof> =>
    prove({ ways, projectors: all, pieces: () => textPieces(text), folder: join(bench.folder, 'proof') });

  it('batches, threads, restarts and other orders of arrival come to the same', async () => {
    const shuffled = (seed: number): Way =>
      way(`shuffled ${seed}`, {
        feed: async () => textFeed(text, { pieces: () => shuffledPieces(textPieces(text), chanceOf(seed)) }),
        takesEvents: false,
      });
    const ways = [
      way('first'),
      ...[1, 7, 20_000].map((batchSize) => way(`batches of ${batchSize}`, { batchSize })),
      way('two threads', { workers: 2 }),
      ...[1, 2, 3].map((seed) => way(`restarts ${seed}`, { restarts: { seed, times: 3, facts: () => 800 } })),
      shuffled(1),
      shuffled(2),
    ];
    const proof = await proveWays(ways);
    expect(proof.ways.map(({ name, verdict, differences }) => [name, verdict, differences])).to.deep.equal(
      ways.map(({ name }) => [name, 'same', []]),
    );
    expect(proof.same).to.equal(true);
    expect(proof.models).to.have.length(projectors.length);
  });

  it('a shuffled history has the same lines, and is another order', async () => {
    const bytes: Buffer[] = [];
    for await (const piece of shuffledPieces(textPieces(text), chanceOf(5)))
      bytes.push(Buffer.from(piece.bytes));
    const other = Buffer.concat(bytes).toString();
    expect(other).to.not.equal(text);
    expect(other.split('\n').sort()).to.deep.equal(text.split('\n').sort());
    expect(other.split('\n')[0]).to.equal(text.split('\n')[0]);
  });

  it('a fold that remembers what it should not is caught: read model, row, values and fact are named', async () => {
    // Of no clock and no chance: the guard has nothing to hold on to.
    let folded = 0;
    const planted: AnyProjector = {
      ...plantedProjector((row, fact) => {
        folded += 1;
        const { seq } = fact;
        const value = fact.tenant === 'tenant-002' && seq >= 31 ? `${seq} ${folded}` : String(seq);
        return { actor: fact.data.actor, value: row?.value.includes(' ') ? row.value : value };
      }),
      columns: { actor: 'text', value: 'text' },
      key: ['actor'],
      keys: (fact) => [[fact.data.actor]],
    };
    const all = [...projectors, planted];
    const { same, ways } = await proveWays(
      [way('first', { projectors: all }), way('again', { projectors: all })],
      all,
    );
    expect(same).to.equal(false);
    const { verdict, differences, row } = ways[1] as (typeof ways)[number];
    expect(verdict).to.equal('differs');
    expect(differences[0]).to.match(/^planted: \d+ rows/);
    expect(row).to.deep.include({ projection: 'planted', tenant: 'tenant-002' });
    expect(row?.first).to.not.equal(row?.other);
    expect(row?.first).to.match(/^\["tenant-002", "[^"]+", "\d+ \d+"\]$/);
    // The first receipt of that actor from place 31 on.
    const [, actor, value] = JSON.parse(row?.first ?? '[]') as string[];
    expect(row?.key).to.deep.equal([actor]);
    expect(row?.fact).to.deep.include({ tenant: 'tenant-002', seq: Number(value?.split(' ')[0]) });
    for (const dump of row?.dumps ?? []) expect(readFileSync(dump, 'utf8')).to.include('"tenant-002"');
  });

  it('a fold that depends on the size of the batch is caught, in the row that it inserted', async () => {
    let batch = 0;
    const planted: AnyProjector = {
      ...plantedProjector((_, { seq, id }) => ({ id, value: String(seq === 40 ? batch : seq) })),
      columns: { id: 'text', value: 'text' },
      key: ['id'],
      keys: ({ id }) => [[id]],
      insertOnly: true,
    };
    const all = [planted];
    const sized = (size: number): Way => {
      const inner = way(`batches of ${size}`, { batchSize: size, projectors: all });
      return {
        ...inner,
        walk: async (asked) => {
          batch = size;
          return await inner.walk(asked);
        },
      };
    };
    const { ways } = await proveWays([sized(7), sized(1)], all);
    const row = ways[1]?.row;
    expect(row?.fact?.seq).to.equal(40);
    expect(JSON.parse(row?.first ?? '[]')).to.have.property('2', '7');
    expect(JSON.parse(row?.other ?? '[]')).to.have.property('2', '1');
  });

  it('a sort by the locale is caught in another locale, although the guard let it pass', async () => {
    const small = bench.generate({ events: 120 });
    const fixture = join(bench.folder, 'small.ndjson');
    writeFileSync(fixture, small);
    const inLocale = (locale: string): Way => ({
      name: locale,
      takesEvents: true,
      walk: async ({ rows = [] }) => {
        const { stdout } = await run(process.execPath, [ELSEWHERE, fixture, rows].flat(), {
          env: { ...process.env, LC_ALL: locale },
        });
        return { models: JSON.parse(stdout) as Expectation['models'] };
      },
    });
    const { ways } = await prove({
      ways: [inLocale('de_DE.UTF-8'), inLocale('sv_SE.UTF-8')],
      projectors: [sorting],
      pieces: () => textPieces(small),
      folder: join(bench.folder, 'locales'),
    });
    const row = ways[1]?.row;
    expect(row?.projection).to.equal('planted');
    expect(row?.first).to.include('"ä,z"');
    expect(row?.other).to.include('"z,ä"');
    expect(row?.fact?.id).to.equal(row?.key[0]);
    expect(row?.fact?.seq).to.be.at.least(20);
  });

  it('a reordered pair and a flipped byte end the proof, and the fact is named', async () => {
    const lines = text.split('\n');
    const one = lines.findIndex((line) => line.includes('"tenant":"tenant-001","seq":30,'));
    const other = lines.findIndex((line) => line.includes('"tenant":"tenant-001","seq":31,'));
    const swapped = lines
      .map((line, at) => lines[at === one ? other : at === other ? one : at] ?? line)
      .join('\n');
    const flipped = lines.map((line, at) =>
      at === one ? line.replace('"occurred_at":1', '"occurred_at":2') : line,
    );
    for (const [forged, code, seq] of [
      [swapped, 'seq-gap', 31],
      [flipped.join('\n'), 'hash-mismatch', 30],
    ] as const) {
      const feed = async () => textFeed(forged);
      const { same, ways } = await proveWays([way('first', { feed }), way('again', { feed })]);
      expect(same).to.equal(false);
      expect(ways).to.have.length(1);
      expect(ways[0]?.fault).to.include({ code, tenant: 'tenant-001', seq });
    }
  });

  it('other facts are told apart chain by chain', async () => {
    const feed = async () => textFeed(bench.generate({ seed: 8 }));
    const { ways } = await proveWays([way('first'), way('other', { feed })]);
    expect(ways[1]?.differences[0]).to.match(/^[a-z0-9-]+: fact \d+, hash .*; here fact \d+, hash/);
  });
});
