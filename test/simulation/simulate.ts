// The run of a world: people, services, attesters and faults come in any order, and after each step one oracle looks at the
// chain, at flags and ramps, and at both stores.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect } from 'chai';
import { attestations } from '#commands/attestations.ts';
import { type GateCommand, gates } from '#commands/gates.ts';
import { runCommand } from '#commands/run.ts';
import { ACME } from '#test/support/memory-ledger.ts';
import { compare, fillUp } from './attester.ts';
import { type Faults, SOUND } from './fates.ts';
import { expectStoreSound, storeText } from './folds.ts';
import { expectReactionsSound } from './loop.ts';
import { anyRampAction, expectRampsSettled, expectRampsSound, fire, setFlags } from './ramps.ts';
import { harmStore, project, rebuild } from './stores.ts';
import { context, type History, listen, openWorld, type Plants, react, type World } from './world.ts';

/** One route that the ledger itself compares, and one of a service that does so and whose word it takes. */
const ROUTES = ['receipts', 'orders'] as const;
const FRAGILE: Faults = { killPerMille: 60, awayPerMille: 40 };
const HARMS_MAX = 3;

const STEPS = 106;
/** Calls of the clock, half a minute each: longer than any ramp waits, or takes figures for fresh. */
const LONG = 40;

// --- what happens

const anyAction = async (world: World, at: number): Promise<void> => {
  const { chance } = world;
  if (chance.perMille(550)) {
    await anyRampAction(world);
    if (chance.perMille(600)) await react(world, { killPerMille: 100, awayPerMille: 50 });
    return;
  }
  const draw = chance.int(100);
  if (draw < 22) await together(world.writers.write(), chance.perMille(300) && react(world, FRAGILE));
  else if (draw < 40) await anyProjecting(world);
  else if (draw < 60) await anyComparing(world);
  else if (draw < 70) await anyHarm(world);
  else if (draw < 78) await anyRepair(world);
  else if (draw < 82) await bySomeone(world, at);
  else if (draw < 84) await world.writers.wake();
  else if (draw < 95) await react(world, { killPerMille: 200, awayPerMille: 100 });
  // Two processes at once, either of which may die.
  else await together(react(world, FRAGILE), react(world, FRAGILE));
};

const together = async (...work: readonly (Promise<void> | false)[]): Promise<void> => {
  await Promise.all(work.filter((each) => each !== false));
};

const filling = ({ feed, chance }: World, faults: Faults) => ({ feed, chance, faults });

const anyProjecting = async (world: World): Promise<void> => {
  const { chance, stores } = world;
  const store = chance.pick(stores);
  if (chance.perMille(100)) store.away = !store.away;
  const run = (each: (typeof stores)[number]): Promise<void> => project(each, filling(world, FRAGILE));
  if (chance.perMille(500)) await together(run(stores[0]), run(stores[1]));
  // Two runners of one store, each of which believes to be the only one.
  else await together(run(store), chance.perMille(500) && run(store));
};

const anyComparing = async (world: World): Promise<void> => {
  const { chance, stores } = world;
  const faults = chance.perMille(700) ? SOUND : FRAGILE;
  const again = chance.perMille(200) ? 1 : undefined;
  await together(
    compare(world, faults, again),
    chance.perMille(300) && project(chance.pick(stores), filling(world, FRAGILE)),
  );
};

const anyHarm = async ({ chance, stores }: World): Promise<void> => {
  const harms = stores.reduce((sum, each) => sum + each.harms.length, 0);
  if (harms < HARMS_MAX) harmStore(chance.pick(stores), stores, chance);
};

/** Somebody makes a store good and holds both to the ledger, and may see to it that they are compared until the path is open. */
const anyRepair = async (world: World): Promise<void> => {
  const { chance, stores } = world;
  for (const store of stores) {
    if (chance.perMille(700)) store.away = false;
    if (store.harms.length > 0 || chance.perMille(200))
      await together(
        rebuild(store, filling(world, FRAGILE)),
        chance.perMille(200) && compare(world, FRAGILE),
      );
  }
  if (chance.perMille(600)) await wayBack(world, chance.perMille(500) ? SOUND : FRAGILE);
  else if (chance.perMille(500)) await fillUp(world, FRAGILE);
};

/** Backfill, and two comparisons. */
const wayBack = async (world: World, faults: Faults): Promise<void> => {
  await fillUp(world, faults);
  for (let look = 0; look < 2; look += 1) {
    await together(...world.stores.map((store) => project(store, filling(world, faults))));
    await compare(world, faults);
    await react(world, faults);
  }
};

/** What a service says of its own route, and what is done by hand. */
const bySomeone = async (world: World, at: number): Promise<void> => {
  const { chance } = world;
  const draw = chance.int(100);
  if (draw < 60) await attestedByService(world, at);
  else if (draw < 75) {
    const command = { type: 'RecordBackfill', route: 'orders', toSeq: at, operations: 10 } as const;
    await runCommand({ store: world.store, decider: attestations }, command, context(world));
  } else {
    const move = { route: chance.pick(ROUTES), reason: 'by hand' };
    await moveGate(
      world,
      draw < 85
        ? { type: 'RollBackWritePath', ...move }
        : { type: 'RestoreWritePath', ...move, grounds: 'ordered' },
    );
  }
};

const attestedByService = async (world: World, at: number): Promise<void> => {
  const { chance, store } = world;
  const draw = chance.int(10);
  const [root, other] = [chance.hex(64), chance.hex(64)];
  const left = { store: 'postgres', seq: at, root };
  const right = { store: 'mongo', seq: draw === 0 ? at - 1 : at, root: draw < 4 ? other : root };
  const divergent = draw > 0 && draw < 4 ? 1 + chance.int(5) : 0;
  await runCommand(
    { store, decider: attestations },
    { type: 'RecordAttestation', route: 'orders', left, right, elements: 10, divergent },
    context(world),
  );
};

const moveGate = async (world: World, command: GateCommand): Promise<void> => {
  await runCommand({ store: world.store, decider: gates }, command, context(world));
};

/** From the first move on a gate has an epoch to fence by. */
const moveOnce = async (world: World): Promise<void> => {
  const move = { route: 'receipts', reason: 'by hand' };
  await moveGate(world, { type: 'RollBackWritePath', ...move });
  await moveGate(world, { type: 'RestoreWritePath', ...move, grounds: 'ordered' });
};

// --- what must hold

/** Looks after each step, at what has changed since. */
const oracle = (world: World) => {
  let heard = 0;
  const seen = new Map<string, number>();
  return async (): Promise<History> => {
    const said = await listen(world);
    if (said.length > heard) {
      expectReactionsSound(said, world.writers);
      expectRampsSound(said);
      heard = said.length;
    }
    for (const store of world.stores) {
      if (seen.get(store.name) === store.revision) continue;
      seen.set(store.name, store.revision);
      expectStoreSound(store, said);
    }
    return said;
  };
};

/** At rest, nothing that the sagas owe is outstanding: the same states, folded by nobody but them, and their end. */
const expectSettled = async ({ store, shelf, sagas }: World): Promise<void> => {
  const head = await store.head(ACME);
  for (const saga of sagas) {
    const [position] = await shelf.positions(saga, ACME);
    expect(position?.parked, `${saga.name} is not parked`).to.equal(undefined);
    expect(position?.seq, `${saga.name} has come to the end`).to.equal(head?.seq);
    const states = await shelf.states(saga, ACME, ROUTES);
    for (const [route, state] of states) {
      const { standing, byAlarm, clean, cleanAfter } = state as Record<string, unknown> & {
        readonly clean: number;
        readonly cleanAfter: number;
      };
      expect(standing, `${route}: an alarm that was crossed is raised and in force`).to.be.oneOf([
        'watching',
        'closed',
        'filled',
      ]);
      if (standing === 'filled' && byAlarm)
        expect(clean, `${route}: proof that is there is used`).to.be.lessThan(cleanAfter);
    }
  }
};

/** What a saga asks for is a fact, from which more may follow. */
const settle = async (world: World): Promise<void> => {
  for (let round = 0; round < 6; round += 1) {
    await react(world, SOUND);
    for (let call = 0; call < LONG; call += 1) world.clock();
    await fire(world);
  }
  await react(world, SOUND);
  await react(world, SOUND);
};

/** Everything is there again, what was harmed is made good, and both stores have come to the end. */
const recover = async (world: World): Promise<void> => {
  for (const store of world.stores) {
    store.away = false;
    if (store.harms.length > 0 || (await heldUp(store))) await rebuild(store, filling(world, SOUND));
    await project(store, filling(world, SOUND));
  }
};

const heldUp = async ({ sink, attestedModel }: World['stores'][number]): Promise<boolean> =>
  (await sink.held(attestedModel)) !== undefined;

/** A world at its end. */
export interface Ended {
  readonly history: History;
  /** What both stores hold. */
  readonly stores: string;
  /** Kinds of harm that a comparison has found. */
  readonly found: ReadonlySet<string>;
}

/** Runs the world of a seed to its end. Throws what does not hold in it. */
export const simulate = async (seed: number, plants: Plants = {}): Promise<Ended> => {
  // A world is over in one turn of the event loop, and what it held is let go of in the next.
  await nextTurn();
  const world = await openWorld(seed, plants);
  const look = oracle(world);
  await react(world, SOUND);
  await setFlags(world);
  if (world.chance.perMille(500)) await moveOnce(world);
  for (let step = 1; step <= STEPS; step += 1) {
    await anyAction(world, step * 10);
    await look();
  }
  await world.writers.wake();
  await settle(world);
  await expectSettled(world);
  const history = await look();
  expectRampsSettled(expectRampsSound(history));
  for (const [route, { divergent, closed }] of expectReactionsSound(history, world.writers))
    if (divergent) expect(closed, `${route}: what drifts is closed`).to.equal(true);
  await recover(world);
  await wayBack(world, SOUND);
  await look();
  expectRecovered(world, history);
  return { history, stores: world.stores.map(storeText).join('\n'), found: world.found };
};

const expectRecovered = ({ stores, writers }: World, history: History): void => {
  const { closed, byAlarm } = expectReactionsSound(history, writers).get('receipts') ?? {};
  if (closed) expect(byAlarm, 'what an alarm has closed comes back').to.equal(false);
  for (const { kept, attestedModel, name } of stores) {
    const there = new Set(
      [...kept.rows(attestedModel, ACME).values()].map(({ receipt_id, id }) => receipt_id ?? id),
    );
    for (const id of writers.confirmed)
      expect(there.has(id), `${name} holds the receipt ${id}, which was confirmed`).to.equal(true);
  }
};
