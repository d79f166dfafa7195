// A tenant between two databases, while it is written to; and a mover that is killed after each of its steps.
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { OPERATORS } from '#commands/tenants.ts';
import { type MovableShard, MoveRefused, type MoveStep, moveTenant } from '#gateway/tenancy/move.ts';
import { readPlacement } from '#gateway/tenancy/placement.ts';
import type { Instant } from '#schemas/ids.ts';
import { trustIn } from '#streams/carry.ts';
import { postgresShareTaker } from '#streams/postgres/arrival.ts';
import { belongingsIn } from '#streams/postgres/departure.ts';
import { tenantFence } from '#streams/postgres/moves.ts';
import { shardedStreamFeed } from '#streams/sharded/feed.ts';
import { shardedStreamStore } from '#streams/sharded/store.ts';
import type { StreamStore } from '#streams/stream.ts';
import { acme, append, draft, drafts, openTenants, other } from '#test/contracts/ledger-adapter.ts';
import { openPostgres, type PostgresUnderTest } from '#test/streams/postgres/postgres-adapter.ts';
import { expectLedgerSound } from '#test/support/ledger-sound.ts';

const NEVER = new AbortController().signal;
const STEPS: readonly MoveStep[] = [
  'begun',
  'awaited',
  'brought',
  'closed',
  'proved',
  'given-up',
  'placed',
  'opened',
];

class Killed extends Error {}

describe('gateway/tenancy/move', function () {
  this.timeout(120_000);
  let home: PostgresUnderTest;
  let east: PostgresUnderTest;
  let eastStore: StreamStore;
  let shards: Map<string, MovableShard>;
  let ledger: StreamStore;

  const movable = (db: PostgresUnderTest, store: StreamStore): MovableShard => {
    const pool = db.pool();
    return {
      store,
      belongingsOf: belongingsIn(pool, store.ledgerId),
      taker: postgresShareTaker(pool, store.ledgerId),
      fence: tenantFence(pool),
    };
  };

  beforeEach(async () => {
    home = await openPostgres();
    east = await openPostgres();
    await east.owner.query(`ALTER TABLE ledger.identity DISABLE TRIGGER immutable;
      UPDATE ledger.identity SET id = '${home.store.ledgerId}'; ALTER TABLE ledger.identity ENABLE TRIGGER immutable`);
    eastStore = await east.storeWith({ pool: east.pool(), clock: () => home.clock.now });
    shards = new Map([
      ['home', movable(home, home.store)],
      ['east', movable(east, eastStore)],
    ]);
    ledger = shardedStreamStore({
      shards: new Map([
        ['home', home.store],
        ['east', eastStore],
      ]),
      placementOf: async (tenant) => (await readPlacement(home.store, tenant)).shard,
    });
    await openTenants(ledger, acme, other);
    await append(ledger, acme, ...drafts(30));
  });
  afterEach(async () => {
    await east[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
  });

  const keys = () => [...home.keys, ...east.keys];
  const move = (to: string, onStep?: (step: MoveStep) => void) =>
    moveTenant({
      tenant: acme,
      to,
      shards,
      home: home.store,
      trust: trustIn(home.store.ledgerId, keys()),
      actor: 'test',
      now: () => home.clock.now as Instant,
      signal: NEVER,
      ...(onStep && { onStep }),
    });
  /** Who of the two takes an append, asked directly. */
  const takers = async (): Promise<readonly string[]> => {
    const found = [];
    for (const [name, store] of [
      ['home', home.store],
      ['east', eastStore],
    ] as const) {
      const taken = await append(store, acme, draft()).catch(() => undefined);
      if (taken?.kind === 'appended') found.push(name);
    }
    return found;
  };

  it('moves there and back: the same chain and proofs, in one store at a time, and it goes on in each', async () => {
    const before = await ledger.head(acme);
    const proof = await ledger.proof(acme, 7 as never);
    expect(await move('east')).to.include({ from: 'home', to: 'east', epoch: 1 });
    expect(await ledger.head(acme)).to.deep.equal(before);
    expect(await ledger.proof(acme, 7 as never)).to.deep.equal(proof);
    expect(await takers()).to.deep.equal(['east']);
    expect((await home.store.heads()).map(({ tenant }) => tenant)).to.deep.equal([OPERATORS, other].sort());
    expect((await append(ledger, acme, draft())).kind).to.equal('appended');
    expect(await move('home')).to.include({ from: 'east', to: 'home', epoch: 2 });
    expect(await takers()).to.deep.equal(['home']);
    expect((await ledger.head(acme))?.seq).to.equal(34);
    await expectLedgerSound({ store: ledger, keys: keys() });
  });

  it('under traffic: no append is refused, none is lost or doubled, and a feed delivers each fact once', async () => {
    const stopping = new AbortController();
    await using feed = shardedStreamFeed([home.feed, (await east.another()).feed]);
    const delivered: number[] = [];
    const reading = (async () => {
      for await (const { tenant, facts } of feed.subscribe({ from: new Map(), signal: stopping.signal }))
        if (tenant === acme) delivered.push(...facts.map(({ seq }) => seq));
    })();
    let appended = 0;
    let slowest = 0;
    let writing = true;
    const writers = Array.from({ length: 4 }, async () => {
      while (writing) {
        const began = performance.now();
        expect((await append(ledger, acme, draft())).kind).to.equal('appended');
        slowest = Math.max(slowest, performance.now() - began);
        appended += 1;
      }
    });
    for (const to of ['east', 'home', 'east']) {
      const sofar = appended;
      while (appended < sofar + 20) await pause(5);
      await move(to);
    }
    writing = false;
    await Promise.all(writers);
    expect(await takers()).to.deep.equal(['east']);
    const end = 31 + appended + 1;
    expect((await ledger.head(acme))?.seq).to.equal(end);
    expect(slowest).to.be.lessThan(10_000);
    for (const deadline = Date.now() + 30_000; delivered.at(-1) !== end && Date.now() < deadline; )
      await pause(20);
    stopping.abort();
    await reading;
    expect(delivered).to.deep.equal(Array.from({ length: end }, (_, index) => index + 1));
    await expectLedgerSound({ store: ledger, keys: keys() });
  });

  for (const step of STEPS)
    it(`killed once it has ${step}: one store at most takes appends, and the same command ends the move`, async () => {
      // As a kill does, nothing of the mover runs after the step: its fences answer no more.
      let dead = false;
      const real = new Map(shards);
      for (const [name, shard] of real) {
        const fence = Object.fromEntries(
          Object.entries(shard.fence).map(([verb, act]) => [
            verb,
            async (...args: never[]) => {
              if (dead) throw new Killed();
              return await (act as (...given: never[]) => Promise<unknown>)(...args);
            },
          ]),
        );
        shards.set(name, { ...shard, fence: fence as never });
      }
      const killed = await move('east', (done) => {
        if (done !== step) return;
        dead = true;
        throw new Killed();
      }).catch((error: unknown) => error);
      expect(killed).to.be.instanceOf(Killed);
      const taking = await takers();
      const open = ['begun', 'awaited', 'brought'].includes(step)
        ? ['home']
        : step === 'opened'
          ? ['east']
          : [];
      expect(taking).to.deep.equal(open);
      const seq = 31 + taking.length;
      shards = real;
      if (step === 'opened')
        expect(await move('east').catch((error: unknown) => error)).to.be.instanceOf(MoveRefused);
      else expect(await move('east')).to.include({ to: 'east', epoch: 1 });
      expect((await ledger.head(acme))?.seq).to.equal(seq);
      expect(await takers()).to.deep.equal(['east']);
      await expectLedgerSound({ store: ledger, keys: keys() });
    });

  it('a mover that slept through another move changes nothing', async () => {
    let wake: (() => void) | undefined;
    const fence = shards.get('home')?.fence;
    const asleep = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const slow = new Map(shards);
    const own = shards.get('home');
    if (own && fence)
      slow.set('home', {
        ...own,
        fence: {
          ...fence,
          close: async (...args) => {
            await asleep;
            await fence.close(...args);
          },
        },
      });
    const real = shards;
    shards = slow;
    const sleeping = move('east').catch((error: unknown) => error);
    shards = real;
    for (const deadline = Date.now() + 20_000; Date.now() < deadline; await pause(10))
      if ((await readPlacement(home.store, acme)).to === 'east' && (await eastHas())) break;
    // Back to where it is: a later epoch.
    expect(await move('home')).to.include({ from: 'home', to: 'home', epoch: 2 });
    wake?.();
    expect(await sleeping).to.have.property('code', 'overtaken');
    expect(await takers()).to.deep.equal(['home']);
  });

  const eastHas = async (): Promise<boolean> => (await shards.get('east')?.taker.position(acme))?.seq === 31;

  it('refuses what cannot be done, and says what can', async () => {
    const refusal = async (work: Promise<unknown>): Promise<unknown> =>
      await work.then(
        () => 'nothing',
        (error: Error) => error.message,
      );
    expect(await refusal(move('west'))).to.equal('there is no shard west; there are home, east');
    expect(await refusal(move('home'))).to.equal('acme is on home already');
  });
});
