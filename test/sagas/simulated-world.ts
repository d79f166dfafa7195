// One world out of a seed: a ledger, its sagas, and people, attesters and faults that come in any order. Time is a number
// that each step moves on. After every step one oracle looks at the chain alone: what it asks must hold whoever ran the
// sagas, how often, and wherever they were killed. The same seed gives the same world.
import { expect } from 'chai';
import { attestations } from '#commands/attestations.ts';
import { type GateCommand, gates } from '#commands/gates.ts';
import { runCommand } from '#commands/run.ts';
import { tenants } from '#commands/tenants.ts';
import { dispatcher } from '#deploy/processes/dispatch.ts';
import { chanceOf } from '#replay-harness/fixtures/chance.ts';
import { allSagas } from '#sagas/index.ts';
import { memorySagaShelf } from '#sagas/memory/shelf.ts';
import { runSagas } from '#sagas/run.ts';
import type { SagaShelf } from '#sagas/shelf.ts';
import type { Chance } from '#schemas/fixture.ts';
import type { Instant } from '#schemas/ids.ts';
import { decodeFact, type LedgerEvent } from '#schemas/index.ts';
import { StreamError } from '#streams/errors.ts';
import { memoryLedger } from '#streams/memory/ledger.ts';
import type { StreamStore } from '#streams/stream.ts';
import { ACME } from '#test/support/memory-ledger.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { anyRampAction, expectRampsSettled, expectRampsSound, fire, setFlags } from './simulated-ramps.ts';

const ROUTES = ['receipts', 'orders'] as const;

/** Everything that was said, in order. */
export type History = readonly (LedgerEvent & { readonly id: string })[];

interface World {
  readonly chance: Chance;
  readonly store: StreamStore;
  readonly shelf: SagaShelf;
  readonly clock: () => Instant;
  /** Runs the sagas until they have nothing to do, or are killed on the way. */
  readonly react: (faults: Faults) => Promise<void>;
}

interface Faults {
  /** In a thousand awaits: the process dies there. */
  readonly killPerMille: number;
  /** The same: the store cannot be reached, before or after it has done what it was asked. */
  readonly awayPerMille: number;
}

const SOUND: Faults = { killPerMille: 0, awayPerMille: 0 };

const openWorld = async (seed: number): Promise<World> => {
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
  const shelf = memorySagaShelf(() => store.heads());
  const react = async ({ killPerMille, awayPerMille }: Faults): Promise<void> => {
    const killed = Promise.withResolvers<void>();
    const ending = new AbortController();
    const perhaps = async <T>(work: () => Promise<T>): Promise<T> => {
      const fate = async (): Promise<void> => {
        if (ending.signal.aborted || chance.perMille(killPerMille)) {
          ending.abort();
          killed.resolve();
          // A dead process answers nothing.
          await new Promise<never>(() => undefined);
        }
        if (chance.perMille(awayPerMille)) throw new StreamError('unavailable', 'away');
      };
      await fate();
      const result = await work();
      await fate();
      return result;
    };
    const dispatch = dispatcher(store);
    const run = runSagas({
      feed,
      sagas: allSagas,
      signal: ending.signal,
      untilCaughtUp: true,
      batchSize: 1 + chance.int(5),
      dispatch: (asked) => perhaps(() => dispatch(asked)),
      shelf: {
        ...shelf,
        save: (saga, step) => perhaps(() => shelf.save(saga, step)),
        states: (saga, tenant, keys) => perhaps(() => shelf.states(saga, tenant, keys)),
      },
      wait: async () => undefined,
    });
    await Promise.race([run, killed.promise]);
    ending.abort();
  };
  return { chance, store, shelf, clock, react };
};

// --- what people and attesters do

const anyAction = async (world: World, at: number): Promise<void> => {
  const { chance, react } = world;
  if (chance.perMille(800)) {
    await anyRampAction(world);
    if (chance.perMille(600)) await react({ killPerMille: 100, awayPerMille: 50 });
    return;
  }
  const route = chance.pick(ROUTES);
  const draw = chance.int(100);
  if (draw < 55) return await attest(world, route, at);
  if (draw < 65) return await fill(world, route, at);
  if (draw < 68) return await move(world, { type: 'RollBackWritePath', route, reason: 'by hand' });
  if (draw < 72)
    return await move(world, { type: 'RestoreWritePath', route, reason: 'by hand', grounds: 'ordered' });
  if (draw < 90) return await react({ killPerMille: 200, awayPerMille: 100 });
  // Two processes at once, either of which may die.
  const faults = { killPerMille: 100, awayPerMille: 50 };
  await Promise.all([react(faults), react(faults)]);
};

const context = ({ clock, chance }: World) => ({
  tenant: ACME,
  actor: 'simulation',
  at: clock(),
  key: chance.hex(24),
});

const attest = async (world: World, route: string, at: number): Promise<void> => {
  const { chance, store } = world;
  const draw = chance.int(10);
  const [root, other] = [chance.hex(64), chance.hex(64)];
  const left = { store: 'postgres', seq: at, root };
  const right = { store: 'neo4j', seq: draw === 0 ? at - 1 : at, root: draw < 4 ? other : root };
  const divergent = draw > 0 && draw < 4 ? 1 + chance.int(5) : 0;
  await runCommand(
    { store, decider: attestations },
    { type: 'RecordAttestation', route, left, right, elements: 10, divergent },
    context(world),
  );
};

const fill = async (world: World, route: string, toSeq: number): Promise<void> => {
  const command = { type: 'RecordBackfill', route, toSeq, operations: 10 } as const;
  await runCommand({ store: world.store, decider: attestations }, command, context(world));
};

const move = async (world: World, command: GateCommand): Promise<void> => {
  await runCommand({ store: world.store, decider: gates }, command, context(world));
};

// --- the oracle

const historyOf = async (store: StreamStore): Promise<History> => {
  const said: (LedgerEvent & { readonly id: string })[] = [];
  for await (const page of store.read(ACME))
    said.push(...page.map((fact) => ({ ...decodeFact(fact), id: fact.id }) as never));
  return said;
};

interface Watched {
  epoch: number;
  closed: boolean;
  byAlarm: boolean;
  alarms: Set<string>;
  filledTo: number | undefined;
  cleanAt: number[];
  proved: boolean;
  /** The last comparison found drift, and nobody has overruled it since. */
  divergent: boolean;
}

/** What must hold of a chain, however it came about. Throws with what does not. */
export const expectReactionsSound = (history: History): ReadonlyMap<string, Watched> => {
  const routes = new Map<string, Watched>();
  for (const { type, data } of history) {
    if (!type.startsWith('gates.') && !type.startsWith('attestations.')) continue;
    const { route } = data as { readonly route: string };
    const watched = routes.get(route) ?? {
      epoch: 0,
      closed: false,
      byAlarm: false,
      alarms: new Set<string>(),
      filledTo: undefined,
      cleanAt: [],
      proved: false,
      divergent: false,
    };
    routes.set(route, watched);
    switch (type) {
      case 'attestations.AttestationRecorded':
        if (data.verdict === 'lag') break;
        watched.divergent = data.verdict === 'divergent';
        if (watched.divergent) Object.assign(watched, { cleanAt: [], filledTo: undefined });
        if (data.verdict === 'clean' && data.left_seq > (watched.cleanAt.at(-1) ?? -1)) {
          if (watched.filledTo !== undefined && data.left_seq >= watched.filledTo)
            watched.cleanAt.push(data.left_seq);
          watched.proved ||= watched.cleanAt.length >= 2;
        }
        break;
      case 'attestations.DriftAlarmRaised':
        expect([...watched.alarms], 'an alarm is raised once').to.not.include(data.alarm_id);
        watched.alarms.add(data.alarm_id);
        break;
      case 'attestations.BackfillCompleted':
        if (watched.closed) Object.assign(watched, { filledTo: data.to_seq, cleanAt: [] });
        break;
      case 'gates.WritePathRolledBack':
        expect(watched.closed, 'what is closed is not closed again').to.equal(false);
        expect(data.epoch, 'epochs have no gaps').to.equal(watched.epoch + 1);
        if (data.alarm_id !== undefined)
          expect([...watched.alarms], 'nothing closes without its alarm').to.include(data.alarm_id);
        Object.assign(watched, {
          epoch: data.epoch,
          closed: true,
          byAlarm: data.alarm_id !== undefined,
          filledTo: undefined,
          cleanAt: [],
          proved: false,
        });
        break;
      case 'gates.WritePathRestored':
        expect(watched.closed, 'only what is closed is restored').to.equal(true);
        expect(data.epoch, 'epochs have no gaps').to.equal(watched.epoch + 1);
        if (data.grounds === 'attested') {
          expect(watched.byAlarm, 'what was closed by hand is not opened by a saga').to.equal(true);
          expect(watched.proved, 'nothing returns without proof').to.equal(true);
        } else watched.divergent = false;
        Object.assign(watched, { epoch: data.epoch, closed: false, filledTo: undefined, cleanAt: [] });
        break;
      default:
      // Nothing that a gate depends on.
    }
  }
  return routes;
};

/** At rest, nothing that the sagas owe is outstanding: the same states, folded by nobody but them, and their end. */
const expectSettled = async ({ store, shelf }: World): Promise<void> => {
  const head = await store.head(ACME);
  for (const saga of allSagas) {
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

const STEPS = 72;
/** Calls of the clock, half a minute each: longer than any ramp waits, or takes figures for fresh. */
const LONG = 40;

/** Runs the world of a seed to its end. Answers with its history. */
export const simulate = async (seed: number): Promise<History> => {
  const world = await openWorld(seed);
  await world.react(SOUND);
  await setFlags(world);
  for (let step = 1; step <= STEPS; step += 1) {
    await anyAction(world, step * 10);
    const history = await historyOf(world.store);
    expectReactionsSound(history);
    expectRampsSound(history);
  }
  // What a saga asks for is a fact, from which more may follow.
  for (let round = 0; round < 6; round += 1) {
    await world.react(SOUND);
    for (let call = 0; call < LONG; call += 1) world.clock();
    await fire(world);
  }
  await world.react(SOUND);
  await world.react(SOUND);
  await expectSettled(world);
  const history = await historyOf(world.store);
  expectRampsSettled(expectRampsSound(history));
  for (const [route, { divergent, closed }] of expectReactionsSound(history))
    if (divergent) expect(closed, `${route}: what drifts is closed`).to.equal(true);
  return history;
};
