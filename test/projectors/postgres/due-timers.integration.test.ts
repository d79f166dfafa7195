// What the read model says is due, and that it fires once, whoever fires it and however far behind the read model is.
import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { runCommand } from '#commands/run.ts';
import { tenants } from '#commands/tenants.ts';
import { timers } from '#commands/timers.ts';
import { fireDue } from '#deploy/processes/keepers/timer-keeper.ts';
import { projectors } from '#projectors/index.ts';
import { dueTimers } from '#projectors/postgres/due-timers.ts';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { runProjectors } from '#projectors/run.ts';
import { type Instant, tenantId } from '#schemas/ids.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { postgresStreamStore } from '#streams/postgres/store.ts';
import { dueFrom } from '#test/sagas/due-timers.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { projectionDatabase } from '../chains.ts';

const NOON = Date.UTC(2026, 10, 21, 12);

describe('projectors/postgres: the timers that are due', () => {
  it('are those of the store, and fire once', async () => {
    await using db = await projectionDatabase(projectors);
    await using store = await postgresStreamStore({ pool: db.pool, signer: testSigner().signer });
    await using feed = postgresStreamFeed({ pool: db.pool, pollMs: 50 });
    const acme = tenantId('acme');
    const context = () => ({ tenant: acme, actor: 'test', at: 0 as Instant, key: randomUUID() });
    await runCommand({ store, decider: tenants }, { type: 'CreateTenant', displayName: 'Acme' }, context());
    for (const [timerId, minute] of [
      ['a', 5],
      ['b', 1],
      ['c', 60],
    ] as const) {
      const dueAt = (NOON + minute * 60_000) as Instant;
      const command = { type: 'ScheduleTimer', timerId, saga: 'ramps', key: 'ramps', dueAt } as const;
      await runCommand({ store, decider: timers }, command, context());
    }
    const { signal } = new AbortController();
    const sink = postgresRowSink({ pool: db.pool });
    const catchUp = () => runProjectors({ feed, sink, projectors, signal, untilCaughtUp: true });
    await catchUp();
    const due = dueTimers(db.pool);
    const ids = async (minute: number, most = 10) =>
      (await due((NOON + minute * 60_000) as Instant, most)).map(({ timerId }) => timerId);
    expect(await ids(0)).to.deep.equal([]);
    expect(await ids(5)).to.deep.equal(['b', 'a']);
    expect(await ids(5, 1)).to.deep.equal(['b']);

    const parts = { store, due, clock: () => (NOON + 300_000) as Instant };
    const fired = await Promise.all([fireDue(parts), fireDue(parts)]);
    expect(fired[0] + fired[1]).to.equal(2);
    expect(await ids(5), 'the read model is behind').to.have.length(2);
    expect(await fireDue(parts)).to.equal(0);
    await catchUp();
    expect(await ids(90)).to.deep.equal(['c']);
    expect(await dueFrom(store)((NOON + 5_400_000) as Instant, 10)).to.deep.equal([
      { tenant: acme, timerId: 'c' },
    ]);
  });
});
