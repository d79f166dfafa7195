// StreamStore, many callers and several processes: what is acknowledged is stored, once, whatever happens in between.

import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import type { Draft, Recorded } from '#schemas/event.ts';
import { type Seq, streamName, tenantId } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';
import { expectLedgerSound } from '#test/support/ledger-sound.ts';
import {
  acme,
  append,
  at,
  draft,
  drafts,
  type Instance,
  itFails,
  itNeeds,
  type LedgerAdapter,
  openTenants,
  other,
  readAll,
} from './ledger-adapter.ts';

const TENANTS = ['acme', 'birch', 'cedar'].map(tenantId);

/** Appends with random pauses; returns what was acknowledged. */
const writer = async (store: StreamStore, rounds: number): Promise<readonly Recorded[]> => {
  const acknowledged: Recorded[] = [];
  for (let round = 0; round < rounds; round += 1) {
    await pause(Math.random() * 8);
    const tenant = TENANTS[Math.floor(Math.random() * TENANTS.length)] ?? acme;
    const result = await append(store, tenant, ...drafts(1 + Math.floor(Math.random() * 3)));
    if (result.kind !== 'appended') throw new Error(`appended expected, not ${result.kind}`);
    acknowledged.push(...result.facts.map(({ fact }) => fact));
  }
  return acknowledged;
};

/** Polls each tenant from its last seq, as a reader with a cursor does, until `stop`, and once more after it. */
const reader = async (store: StreamStore, stop: AbortSignal): Promise<readonly Recorded[]> => {
  const seen: Recorded[] = [];
  const cursor = new Map(TENANTS.map((tenant) => [tenant, 0]));
  for (let last = false; !last; ) {
    last = stop.aborted;
    for (const tenant of TENANTS) {
      for await (const page of store.read(tenant, {
        from: ((cursor.get(tenant) ?? 0) + 1) as Seq,
        pageSize: 7,
      })) {
        for (const fact of page) {
          expect(fact.seq, `${tenant} in order, without a gap`).to.equal((cursor.get(tenant) ?? 0) + 1);
          cursor.set(tenant, fact.seq);
          seen.push(fact);
        }
      }
    }
    await pause(2);
  }
  return seen;
};

const hashes = (facts: readonly Recorded[]): readonly string[] => facts.map(({ hash }) => hash).sort();

const contest = async (instances: readonly Instance[]): Promise<readonly Recorded[]> => {
  const written = new AbortController();
  const readers = instances.map(({ store }) => reader(store, written.signal));
  const writers = Array.from({ length: 32 }, (_, index) =>
    writer((instances[index % instances.length] as Instance).store, 6),
  );
  const acknowledged = (await Promise.all(writers)).flat();
  written.abort();
  for (const seen of await Promise.all(readers)) {
    expect(hashes(seen.filter(({ type }) => type !== 'tests.Opened'))).to.deep.equal(hashes(acknowledged));
  }
  return acknowledged;
};

export const raceContract = (adapter: LedgerAdapter): void => {
  it('20 parallel appends: stored = acknowledged', async () => {
    await using ledger = await adapter.open();
    await openTenants(ledger.store, acme);
    const list = drafts(20);
    const results = await Promise.all(list.map((one) => append(ledger.store, acme, one)));
    expect(results.map(({ kind }) => kind)).to.deep.equal(Array(20).fill('appended'));
    expect(
      (await readAll(ledger.store))
        .slice(1)
        .map(({ id }) => id)
        .sort(),
    ).to.deep.equal(list.map(({ id }) => id).sort());
    await expectLedgerSound(ledger, { acknowledged: list.map(({ id }) => ({ tenant: acme, id })) });
  });

  it('20 parallel decisions on one stream, each tried again after a conflict: all are stored, in turns', async () => {
    await using ledger = await adapter.open();
    await openTenants(ledger.store, acme);
    const stream = streamName('tests', 'counter');
    const decide = async (): Promise<void> => {
      for (;;) {
        const facts = await ledger.store.readStream(acme, stream);
        const decided = draft({ stream, payload: `{"n":${facts.length + 1}}` });
        const result = await ledger.store.append({
          tenant: acme,
          drafts: [decided],
          expect: at(stream, facts.at(-1)?.seq ?? 0),
        });
        if (result.kind === 'appended') return;
        expect(result.kind).to.equal('conflict');
      }
    };
    await Promise.all(Array.from({ length: 20 }, decide));
    const facts = await ledger.store.readStream(acme, stream);
    expect(facts.map(({ payload }) => payload)).to.deep.equal(
      Array.from({ length: 20 }, (_, n) => `{"n":${n + 1}}`),
    );
  });

  it('32 writers with random pauses, a reader polling: all see what was acknowledged, in order', async function () {
    this.timeout(60_000);
    await using ledger = await adapter.open();
    await openTenants(ledger.store, ...TENANTS);
    const acknowledged = await contest([ledger]);
    await expectLedgerSound(ledger, { acknowledged });
  });

  itNeeds(
    adapter,
    'another',
    '32 writers over three processes, a reader in each: all see what was acknowledged, in order',
    async function () {
      this.timeout(60_000);
      await using ledger = await adapter.open();
      await openTenants(ledger.store, ...TENANTS);
      const acknowledged = await contest([ledger, await ledger.another(), await ledger.another()]);
      await expectLedgerSound(ledger, { acknowledged });
    },
  );

  itNeeds(
    adapter,
    'another',
    'two processes decide on one stream in turns: a head seen long ago costs a conflict, never a fact',
    async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme);
      const stream = streamName('tests', 'a');
      const stores = [ledger.store, (await ledger.another()).store] as const;
      let revision = 0;
      for (let turn = 0; turn < 10; turn += 1) {
        const store = stores[turn % 2] as StreamStore;
        const say = (seen: number) =>
          store.append({ tenant: acme, drafts: [draft({ stream })], expect: at(stream, seen) });
        if (turn > 0) expect(await say(revision - 1)).to.deep.equal({ kind: 'conflict', actual: revision });
        const result = await say(revision);
        if (result.kind !== 'appended') throw new Error(`turn ${turn}: ${result.kind}`);
        revision = result.facts[0]?.fact.seq ?? 0;
      }
      await expectLedgerSound(ledger);
    },
  );

  itNeeds(
    adapter,
    'another',
    'a tenant opened in one process exists in the other, which was told before that it does not',
    async () => {
      await using ledger = await adapter.open();
      const { store } = await ledger.another();
      expect((await append(store, acme, draft())).kind).to.equal('no-such-tenant');
      await openTenants(ledger.store, acme);
      expect((await append(store, acme, draft())).kind).to.equal('appended');
      expect(
        (await store.append({ tenant: acme, drafts: [draft()], expect: { kind: 'new-tenant' } })).kind,
      ).to.equal('tenant-exists');
    },
  );

  itNeeds(
    adapter,
    'another',
    'a claim made in one process is known in the other: same request repeated, other request id-taken',
    async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme, other);
      const { store } = await ledger.another();
      const first = draft();
      await append(ledger.store, acme, first);
      expect((await append(store, acme, first)).kind).to.equal('repeated');
      expect((await append(store, acme, { ...first, payload: '{}' })).kind).to.equal('id-taken');
      expect((await append(store, other, first)).kind).to.equal('appended');
      await expectLedgerSound(ledger);
    },
  );

  it('a refusal of one tenant fails no other tenant in the same moment', async () => {
    await using ledger = await adapter.open();
    const tenants = Array.from({ length: 40 }, (_, n) => tenantId(`tenant-${n}`));
    const openings = await openTenants(ledger.store, ...tenants);
    const stream = streamName('tests', 'a');
    const results = await Promise.all(
      tenants.map((tenant, n) => {
        if (n % 5 === 1)
          return ledger.store.append({ tenant, drafts: [draft({ stream })], expect: at(stream, 9) });
        if (n % 5 === 2)
          return append(ledger.store, tenant, { ...(openings[n] as Draft), payload: '{"other":1}' });
        if (n % 5 === 3) return append(ledger.store, tenantId(`nobody-${n}`), draft());
        if (n % 5 === 4) return append(ledger.store, tenant, openings[n] as Draft);
        return append(ledger.store, tenant, draft());
      }),
    );
    const expected = ['appended', 'conflict', 'id-taken', 'no-such-tenant', 'repeated'];
    expect(results.map(({ kind }) => kind)).to.deep.equal(tenants.map((_, n) => expected[n % 5]));
    await expectLedgerSound(ledger);
  });

  itFails(
    adapter,
    'cut-after-commit',
    'a reply lost after the commit: the retry from another process finds the one fact',
    async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme, other);
      const request = drafts(2);
      await lost((await ledger.failing('cut-after-commit')).store, request);
      const { store } = await ledger.another();
      expect((await append(store, acme, ...request)).kind).to.equal('repeated');
      const conflict = await append(store, acme, { ...(request[0] as Draft), payload: '{"other":1}' });
      expect(conflict.kind).to.equal('id-taken');
      if (conflict.kind === 'id-taken') expect(conflict.first.seq).to.equal(2);
      expect((await append(store, other, ...request)).kind, 'same key, other tenant').to.equal('appended');
      await expectLedgerSound(ledger, { acknowledged: request.map(({ id }) => ({ tenant: acme, id })) });
    },
  );

  for (const fault of [
    'unsigned',
    'badly-signed',
    'refused',
    'cut-before-commit',
    'cut-after-commit',
  ] as const) {
    itFails(
      adapter,
      fault,
      `a commit that fails (${fault}), then the same again: exactly one fact`,
      async () => {
        await using ledger = await adapter.open();
        await openTenants(ledger.store, acme);
        const { store } = await ledger.failing(fault);
        const request = [draft()];
        await lost(store, request);
        const again = await append(store, acme, ...request);
        expect(again.kind).to.equal(fault === 'cut-after-commit' ? 'repeated' : 'appended');
        expect(await readAll(ledger.store)).to.have.length(2);
        await expectLedgerSound(ledger, { acknowledged: [{ tenant: acme, id: (request[0] as Draft).id }] });
      },
    );
  }

  itNeeds(
    adapter,
    'idleTransaction',
    'an idle transaction in another session stops neither appends nor reads',
    async () => {
      await using ledger = await adapter.open();
      await openTenants(ledger.store, acme);
      await using _idle = await ledger.idleTransaction();
      const result = await Promise.race([
        append(ledger.store, acme, draft()),
        pause(3_000, undefined, { ref: false }),
      ]);
      expect(result?.kind).to.equal('appended');
      expect(await readAll((await ledger.another()).store)).to.have.length(2);
    },
  );
};

/** The caller learns nothing of the fate of its request: an error, with the code that tells it to repeat. */
const lost = async (store: StreamStore, request: readonly Draft[]): Promise<void> => {
  const outcome = await append(store, acme, ...request).catch((error: unknown) => error);
  expect(outcome).to.be.an('error').with.property('name', 'StreamError');
};
