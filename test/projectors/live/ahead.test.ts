// What is delivered while a group is folded is the next group: of each tenant one batch, in its order, within bounds.
import { setImmediate as turn } from 'node:timers/promises';
import { expect } from 'chai';
import fc from 'fast-check';
import { readAhead } from '#projectors/live/ahead.ts';
import type { Recorded } from '#schemas/event.ts';
import { type Seq, type TenantId, tenantId } from '#schemas/ids.ts';
import type { FeedBatch } from '#streams/stream.ts';

const factOf = (tenant: TenantId, seq: number): Recorded => ({ tenant, seq: seq as Seq }) as Recorded;

/** Batches of so many facts each, of tenants in any order. */
const batchesOf = (sizes: readonly (readonly [tenant: string, facts: number])[]): readonly FeedBatch[] => {
  const heads = new Map<TenantId, number>();
  return sizes.map(([name, count]) => {
    const tenant = tenantId(name);
    const head = heads.get(tenant) ?? 0;
    heads.set(tenant, head + count);
    return { tenant, facts: Array.from({ length: count }, (_, index) => factOf(tenant, head + index + 1)) };
  });
};

const feedOf = async function* (batches: readonly FeedBatch[]): AsyncGenerator<FeedBatch> {
  for (const batch of batches) yield batch;
};

/** Takes groups, with time for the feed to run ahead before each. */
const groupsOf = async (
  batches: readonly FeedBatch[],
  bounds: { readonly group: number; readonly batch: number },
): Promise<readonly (readonly FeedBatch[])[]> => {
  const ahead = readAhead(feedOf(batches), bounds);
  const groups: (readonly FeedBatch[])[] = [];
  for (let count = 0; count < 20; count += 1) await turn();
  for await (const group of ahead.groups) {
    groups.push(group);
    for (let count = 0; count < 20; count += 1) await turn();
  }
  await ahead.over;
  return groups;
};

const shape = (groups: readonly (readonly FeedBatch[])[]) =>
  groups.map((group) => group.map(({ tenant, facts }) => [tenant, facts.map(({ seq }) => Number(seq))]));

describe('reading ahead of the read models', () => {
  it('makes one batch of what came of a tenant a few facts at a time', async () => {
    const batches = batchesOf([
      ['acme', 2],
      ['globex', 1],
      ['acme', 1],
      ['acme', 3],
    ]);
    expect(shape(await groupsOf(batches, { group: 100, batch: 100 }))).to.deep.equal([
      [
        ['acme', [1, 2, 3, 4, 5, 6]],
        ['globex', [1]],
      ],
    ]);
  });

  it('keeps to the bounds, but for a batch that is larger by itself', async () => {
    const batches = batchesOf([
      ['acme', 3],
      ['acme', 3],
      ['globex', 9],
      ['acme', 1],
    ]);
    expect(shape(await groupsOf(batches, { group: 8, batch: 5 }))).to.deep.equal([
      [['acme', [1, 2, 3]]],
      [['acme', [4, 5, 6]]],
      [['globex', [1, 2, 3, 4, 5, 6, 7, 8, 9]]],
      [['acme', [7]]],
    ]);
  });

  it('delivers every fact once, each tenant in its order, whatever the sizes', async () => {
    const sizes = fc.array(fc.tuple(fc.constantFrom('acme', 'globex', 'initech'), fc.nat(5)), {
      maxLength: 30,
    });
    await fc.assert(
      fc.asyncProperty(
        sizes,
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 12 }),
        async (of, ...most) => {
          const batches = batchesOf(of);
          const [group, batch] = most;
          const groups = await groupsOf(batches, { group, batch });
          const seqs = (all: readonly FeedBatch[]) =>
            [...Map.groupBy(all, ({ tenant }) => tenant)].map(
              ([tenant, own]) => [tenant, own.flatMap(({ facts }) => facts.map(({ seq }) => seq))] as const,
            );
          const wanted = new Map(seqs(batches.filter(({ facts }) => facts.length > 0)));
          expect(new Map(seqs(groups.flat()))).to.deep.equal(wanted);
          for (const each of groups) {
            expect(new Set(each.map(({ tenant }) => tenant)).size).to.equal(each.length);
            expect(each.length).to.be.greaterThan(0);
          }
        },
      ),
    );
  });

  it('throws what the feed threw, after what it delivered', async () => {
    const feed = async function* (): AsyncGenerator<FeedBatch> {
      yield* batchesOf([['acme', 1]]);
      throw new Error('the feed broke');
    };
    const { groups } = readAhead(feed(), { group: 10, batch: 10 });
    const seen: (readonly FeedBatch[])[] = [];
    let failure: unknown;
    try {
      for await (const group of groups) seen.push(group);
    } catch (error) {
      failure = error;
    }
    expect(seen.length).to.equal(1);
    expect(String(failure)).to.match(/the feed broke/);
  });
});
