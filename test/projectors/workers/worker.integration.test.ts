// Workers that come, go, are killed and stand still: every tenant is kept by one of them, and its facts are folded once
// each, in order. `tally` has a row show every fact that made it; `log` has one row for each.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import type { AnyProjector } from '#projectors/batch.ts';
import { verifyReadModel } from '#projectors/postgres/rebuild/verify.ts';
import { leaveSlots, SLOTS, settleSlots, slotFence, slotOf } from '#projectors/postgres/workers/slots.ts';
import { type TenantId, tenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import { transaction } from '#streams/postgres/connect.ts';
import { ACME } from '../chains.ts';
import { type History, history } from '../rebuild/history.ts';
import { both, decode, mixture } from '../tally.ts';

const sound = (length: number) => mixture(length).map((said) => (said.payload ? { type: said.type } : said));
const TENANTS = Array.from({ length: 24 }, (_, index) => tenantId(`tenant-${index}`));
const LEASE_MS = 1_500;

describe('projector workers', function () {
  this.timeout(180_000);
  let past: History;
  const children = new Set<ChildProcess>();
  beforeEach(async () => {
    past = await history();
  });
  afterEach(async () => {
    for (const child of children) child.kill('SIGKILL');
    await Promise.all(
      [...children].map(async (child) => {
        if (child.exitCode === null && child.signalCode === null)
          await new Promise((end) => child.once('close', end));
      }),
    );
    children.clear();
    await past[Symbol.asyncDispose]();
  });

  const worker = (): ChildProcess => {
    const args = [join(import.meta.dirname, 'worker-child.ts'), past.url, String(LEASE_MS)];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    children.add(child);
    child.once('close', () => children.delete(child));
    return child;
  };

  /** Slots by worker, most first; those of nobody alive are left out. */
  const parts = async (): Promise<readonly number[]> =>
    (
      await past.pool.query<{ n: number }>(
        `SELECT count(*) AS n FROM projections.slots JOIN projections.workers w USING (worker) WHERE w.lease_until > now() GROUP BY worker ORDER BY 1 DESC`,
      )
    ).rows.map(({ n }) => n);

  const until = async (what: string, holds: () => Promise<boolean>): Promise<void> => {
    for (let look = 0; !(await holds()); look += 1) {
      if (look === 1_200) throw new Error(`never: ${what}`);
      await pause(50);
    }
  };

  const partsAre = (...wanted: readonly number[]): Promise<void> =>
    until(`slots ${wanted.join(', ')}`, async () => JSON.stringify(await parts()) === JSON.stringify(wanted));

  const current = async (): Promise<boolean> =>
    (
      await past.pool.query<{ behind: number }>(
        'SELECT coalesce(sum(abs(lag_facts)), 0)::int AS behind FROM views.projection_status',
      )
    ).rows[0]?.behind === 0;

  const sayAll = async (length: number, tenants: readonly TenantId[] = TENANTS): Promise<void> => {
    await Promise.all(tenants.map((tenant) => past.say(tenant, sound(length))));
  };

  /** Every row is that of an independent replay: no fact is missing, none was taken twice, none out of order. */
  const expectSound = async (): Promise<void> => {
    for (const projector of both as readonly AnyProjector[]) {
      const { equal, unequal } = await verifyReadModel({
        pool: past.pool,
        store: past.store,
        projector,
        decode,
        skips: async () => new Set(),
      });
      expect(unequal, projector.name).to.deep.equal([]);
      expect(equal.length, projector.name).to.be.at.least(TENANTS.length);
    }
  };

  it('share the tenants; one that is added, killed or ended moves them, and nothing is lost or done twice', async () => {
    await sayAll(20);
    const first = worker();
    await partsAre(256);
    const second = worker();
    await partsAre(128, 128);
    await sayAll(20);
    const third = worker();
    await partsAre(86, 86, 84);
    await sayAll(20);
    second.kill('SIGKILL');
    await sayAll(20);
    await partsAre(128, 128);
    first.kill('SIGTERM');
    await partsAre(256);
    await sayAll(20);
    await until('all current', current);
    await expectSound();
    third.kill('SIGTERM');
    await until('nobody works', async () => (await parts()).length === 0);
    const { rows } = await past.pool.query(
      'SELECT count(*)::int AS n FROM projections.slots WHERE worker IS NOT NULL',
    );
    expect(rows).to.deep.equal([{ n: 0 }]);
  });

  it('one that stands still past its lease is left out, and when it wakes it changes nothing of the others', async () => {
    await sayAll(10);
    const sleeper = worker();
    const other = worker();
    await partsAre(128, 128);
    await until('all current', current);
    sleeper.kill('SIGSTOP');
    const saying = sayAll(40);
    await partsAre(256);
    await saying;
    await until('all current', current);
    sleeper.kill('SIGCONT');
    await sayAll(20);
    await partsAre(128, 128);
    await until('all current', current);
    await expectSound();
    for (const child of [sleeper, other]) child.kill('SIGTERM');
    await until('both ended', async () => children.size === 0);
  });

  it('keep a step of one that was left out from changing anything', async () => {
    const { pool } = past;
    // A step that does nothing for as long as the lease is ended by the server: on a full machine 200 ms are soon over.
    const leaseMs = 1_500;
    const [asleep, awake] = ['asleep', 'awake'].map((name) => ({ worker: name, leaseMs }));
    if (!asleep || !awake) throw new Error('unreachable');
    const held = await settleSlots(pool, asleep);
    expect(held.size).to.equal(SLOTS);
    const fenced = (known = held): Promise<boolean> =>
      transaction(pool, (client) => slotFence(asleep, () => known)(client, [ACME]));
    expect(await fenced()).to.equal(true);
    await pause(leaseMs + 100);
    // Late, but nobody was waiting: what it holds is still its own.
    expect(await fenced()).to.equal(true);
    expect((await settleSlots(pool, awake)).size).to.equal(SLOTS);
    const error = await fenced().catch((thrown: unknown) => thrown);
    expect(error).to.be.instanceOf(StreamError).with.property('code', 'unavailable');
    await leaveSlots(pool, awake.worker);
    // The slot is its own again, under another epoch: what it believed before does not come true once more.
    const again = await settleSlots(pool, asleep);
    expect(await fenced().catch(() => 'fenced')).to.equal('fenced');
    expect(await fenced(again)).to.equal(true);
    expect((again.get(slotOf(ACME)) ?? 0) - (held.get(slotOf(ACME)) ?? 0)).to.equal(2);
  });

  it('that ask at once never hold a slot together', async () => {
    const names = ['w1', 'w2', 'w3', 'w4', 'w5'];
    for (let round = 0; round < 4; round += 1) {
      const held = await Promise.all(
        names.map((name) => settleSlots(past.pool, { worker: name, leaseMs: 60_000 })),
      );
      if (round < 3) continue;
      const all = held.flatMap((slots) => [...slots.keys()]);
      expect(new Set(all).size).to.equal(all.length);
      expect(all.length).to.equal(SLOTS);
      expect(Math.max(...held.map(({ size }) => size))).to.equal(Math.ceil(SLOTS / 5));
    }
  });
});

describe('a tenant', () => {
  it('has the same slot for ever', () => {
    // SHA-256 of "acme" begins with these two digits: printf acme | sha256sum
    expect([slotOf(ACME), slotOf(tenantId('globex'))]).to.deep.equal([0x82, 0x5b]);
  });
});
