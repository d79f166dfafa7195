// A world out of a seed: a ledger, its sagas, two stores and whoever works with them. Time is a number that each step moves
// on. The same seed gives the same world.
import { expect } from 'chai';
import { runCommand } from '#commands/run.ts';
import { tenants } from '#commands/tenants.ts';
import { dispatcher } from '#deploy/processes/ledger/dispatch.ts';
import { noTrees, type Trees } from '#projectors/attestation/attest.ts';
import { chanceOf } from '#replay-harness/fixtures/chance.ts';
import { allSagas } from '#sagas/index.ts';
import { memorySagaShelf } from '#sagas/memory/shelf.ts';
import { runSagas } from '#sagas/run.ts';
import type { AnySaga } from '#sagas/saga.ts';
import type { SagaShelf } from '#sagas/shelf.ts';
import type { Chance } from '#schemas/fixture.ts';
import type { Instant, Seq } from '#schemas/ids.ts';
import { decodeFact, type LedgerEvent } from '#schemas/index.ts';
import { memoryLedger } from '#streams/memory/ledger.ts';
import type { StreamFeed, StreamStore } from '#streams/stream.ts';
import { ACME } from '#test/support/memory-ledger.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { type Faults, live } from './fates.ts';
import { openStores, type SimulatedStore, type StorePlants } from './stores.ts';
import { openWriters, type Writers } from './writers.ts';

/** Everything that was said, in order. */
export type History = readonly Said[];
export type Said = LedgerEvent & { readonly id: string; readonly seq: Seq; readonly hash: string };

/** What a test puts in the place of a sound part, to see that the oracle finds it out. */
export interface Plants extends StorePlants {
  readonly sagas?: readonly AnySaga[];
  /** In the place of the write gate. */
  readonly gates?: (store: StreamStore) => StreamStore;
}

export interface World {
  readonly chance: Chance;
  readonly clock: () => Instant;
  readonly store: StreamStore;
  readonly feed: StreamFeed;
  readonly sagas: readonly AnySaga[];
  readonly shelf: SagaShelf;
  readonly stores: readonly [tables: SimulatedStore, graph: SimulatedStore];
  readonly writers: Writers;
  /** Kinds of harm that a comparison has found. */
  readonly found: Set<string>;
  /** As far as somebody has listened. */
  readonly said: Said[];
  /** Of whoever compares the stores; lost with the process. */
  trees: Trees;
}

export const openWorld = async (seed: number, plants: Plants = {}): Promise<World> => {
  const chance = chanceOf(seed);
  let now = Date.UTC(2026, 10, 21, 8);
  const clock = (): Instant => {
    now += 1 + chance.int(60_000);
    return now as Instant;
  };
  const { store, feed } = memoryLedger({ signer: testSigner().signer, clock });
  const made = await runCommand(
    { store, decider: tenants },
    { type: 'CreateTenant', displayName: 'Acme' },
    { tenant: ACME, actor: 'simulation', at: clock(), key: `made ${seed}` },
  );
  expect(made.kind).to.equal('recorded');
  return {
    chance,
    clock,
    store,
    feed,
    sagas: plants.sagas ?? allSagas,
    shelf: memorySagaShelf(() => store.heads()),
    stores: openStores(plants),
    writers: openWriters({ store, chance, clock, gates: plants.gates }),
    found: new Set(),
    said: [],
    trees: noTrees(),
  };
};

/** Runs the sagas until they have nothing to do, or are killed on the way. */
export const react = async (world: World, faults: Faults): Promise<void> => {
  const { chance, feed, sagas, shelf } = world;
  const dispatch = dispatcher(world.store);
  await live(chance, faults, ({ signal, perhaps }) =>
    runSagas({
      feed,
      sagas,
      signal,
      untilCaughtUp: true,
      batchSize: 1 + chance.int(5),
      dispatch: (asked) => perhaps(() => dispatch(asked)),
      shelf: {
        ...shelf,
        save: (saga, step) => perhaps(() => shelf.save(saga, step)),
        states: (saga, tenant, keys) => perhaps(() => shelf.states(saga, tenant, keys)),
      },
      wait: async () => undefined,
    }),
  );
};

/** Who says something, and when. */
export const context = ({ clock, chance }: Pick<World, 'clock' | 'chance'>) => ({
  tenant: ACME,
  actor: 'simulation',
  at: clock(),
  key: chance.hex(24),
});

/** Everything that was said so far. */
export const listen = async ({ store, said }: Pick<World, 'store' | 'said'>): Promise<History> => {
  for await (const page of store.read(ACME, { from: (said.length + 1) as Seq }))
    for (const fact of page) {
      const { id, seq, hash } = fact;
      said.push({ ...decodeFact(fact), id, seq, hash } as never);
    }
  return said;
};
