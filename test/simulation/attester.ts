// Whoever compares the two stores of receipts, and whoever fills them up: the real comparison, the real backfill, and what
// must hold of what they find. What was harmed, and is not made good, is known here and nowhere else.
import { expect } from 'chai';
import { backfill } from '#gateway/attestation/backfill.ts';
import { recordAttestation } from '#gateway/attestation/record.ts';
import { type Attested, attest, noTrees } from '#projectors/attestation/attest.ts';
import { StreamError } from '#streams/errors.ts';
import type { StreamStore } from '#streams/stream.ts';
import { ACME } from '#test/support/memory-ledger.ts';
import { type Faults, live, type Mortal } from './fates.ts';
import type { Harm } from './harms.ts';
import { RECEIPTS } from './stores.ts';
import { listen, type World } from './world.ts';

const { route } = RECEIPTS;

const outstanding = ({ stores }: World): readonly Harm[] => stores.flatMap(({ harms }) => harms);

/** Harms that were there all the while, of facts that both stores had come to. */
const throughout = (world: World, before: readonly Harm[], to: number): readonly Harm[] =>
  outstanding(world).filter((harm) => before.includes(harm) && harm.seq <= to);

const writing = ({ store }: World, { perhaps }: Mortal): StreamStore => ({
  ...store,
  append: (request) => perhaps(() => store.append(request)),
});

/** An attester that a store, or the ledger, is away from looks again later. */
const unlessAway = async (work: () => Promise<void>): Promise<void> => {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
  }
};

/** Compares both stores and puts on record what it found. `again`: buckets that are read anew; all unless told. */
export const compare = async (world: World, faults: Faults, again?: number): Promise<void> => {
  const { stores, store, clock } = world;
  const before = outstanding(world);
  const lived = await live(world.chance, faults, (mortal) =>
    unlessAway(async () => {
      const found = await attest({
        tenant: ACME,
        left: mortal.through(stores[0].attested),
        right: mortal.through(stores[1].attested),
        trees: world.trees,
        ...(again !== undefined && { again }),
        head: async () => (await store.head(ACME))?.seq ?? 0,
      });
      expectFound(world, { found, before, whole: again === undefined });
      const author = { actor: 'attester', at: clock() };
      const recorded = await recordAttestation(writing(world, mortal), { route, attested: found }, author);
      if (recorded.kind === 'recorded') await expectLocated(world, found);
    }),
  );
  if (!lived) world.trees = noTrees();
};

interface Found {
  readonly found: Attested;
  readonly before: readonly Harm[];
  /** Everything was read. */
  readonly whole: boolean;
}

const expectFound = (world: World, { found, before, whole }: Found): void => {
  const named = new Set(found.differences.map(({ element }) => element));
  if (found.verdict === 'divergent')
    expect(
      before.length + outstanding(world).length,
      `what nobody harmed does not differ: ${[...named].join()}`,
    ).to.be.greaterThan(0);
  if (found.verdict === 'lag' || !whole) return;
  for (const { what, seq, elements } of throughout(world, before, found.asOf)) {
    expect(
      elements.some((element) => named.has(element)),
      `${what} at ${seq} is found at ${found.asOf}`,
    ).to.equal(true);
    world.found.add(what);
  }
};

const expectLocated = async (world: World, { verdict, asOf, differences }: Attested): Promise<void> => {
  if (verdict !== 'divergent') return;
  const located = new Set<string>();
  for (const { type, data } of await listen(world))
    if (type === 'attestations.DriftLocated' && data.route === route && data.as_of_seq === asOf)
      located.add(data.element);
  for (const { element } of differences.slice(0, LOCATED_MAX))
    expect([...located], 'what is found is on record').to.include(element);
};

/** As many as are put on record. */
const LOCATED_MAX = 100;

/** Holds both stores to the ledger. Where nothing differs that is on record, and the drift saga goes on. */
export const fillUp = async (world: World, faults: Faults): Promise<void> => {
  const { stores, clock, chance } = world;
  const before = outstanding(world);
  const placesBefore = places(world);
  await live(chance, faults, (mortal) =>
    unlessAway(async () => {
      const done = await backfill({
        store: writing(world, mortal),
        tenant: ACME,
        mapping: RECEIPTS,
        left: mortal.through(stores[0].attested),
        right: mortal.through(stores[1].attested),
        author: { actor: 'filler', at: clock() },
        signal: mortal.signal,
        spanFacts: 64,
      });
      const asOf = Math.min(placesBefore, places(world));
      if (done.kind === 'divergent') {
        const wrong = new Set(done.wrong.map((each) => each.store));
        for (const { name, harms } of stores) {
          if (wrong.has(name))
            expect(before.length + harms.length, `${name} is not wrong for nothing`).to.be.greaterThan(0);
          if (throughout(world, before, asOf).some((harm) => harms.includes(harm)))
            expect([...wrong], 'a store that is wrong is named').to.include(name);
        }
      }
      if (done.kind === 'recorded' || done.kind === 'repeated')
        expect(
          throughout(world, before, Math.min(done.toSeq, asOf)).map(({ what }) => what),
          'a backfill does not pass over what is wrong',
        ).to.deep.equal([]);
    }),
  );
};

/** The lower of the places that the two stores have come to. */
const places = ({ stores }: World): number =>
  Math.min(...stores.map(({ kept, attestedModel }) => kept.checkpoint(attestedModel, ACME)?.seq ?? 0));
