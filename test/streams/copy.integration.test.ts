// A ledger from PostgreSQL into another PostgreSQL, into EventStoreDB (a simulated server) and back.
import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import type { Seq, Sha256 } from '#schemas/ids.ts';
import { type CarryError, type ShareTaker, trustIn } from '#streams/carry.ts';
import { type Copied, type CopySource, copyLedger } from '#streams/copy.ts';
import { eventStoreShareTaker } from '#streams/eventstore/arrival.ts';
import { connect, type EventStore } from '#streams/eventstore/connect.ts';
import { belongingsInStreams } from '#streams/eventstore/departure.ts';
import { eventStoreStreamStore } from '#streams/eventstore/store.ts';
import { beginArrival, postgresShareTaker } from '#streams/postgres/arrival.ts';
import { belongingsIn } from '#streams/postgres/departure.ts';
import type { StreamStore } from '#streams/stream.ts';
import { ANY, acme, append, draft, drafts, openTenants, other } from '#test/contracts/ledger-adapter.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { type SimulatedServer, simulatedServer } from './eventstore/simulated-server.ts';
import { openPostgres, type PostgresUnderTest } from './postgres/postgres-adapter.ts';

const REQUEST = 'ab'.repeat(32) as Sha256;
const NEVER = new AbortController().signal;

describe('streams/copy', function () {
  this.timeout(120_000);
  let server: SimulatedServer;
  let origin: PostgresUnderTest;
  const asked = draft();
  const opened: AsyncDisposable[] = [];

  before(async () => {
    server = await simulatedServer();
    origin = await openPostgres();
    await openTenants(origin.store, acme, other);
    await Promise.all([append(origin.store, acme, ...drafts(40)), append(origin.store, other, ...drafts(7))]);
    for (let round = 0; round < 5; round += 1) await append(origin.store, acme, ...drafts(2));
    await origin.store.append({ tenant: acme, drafts: [asked], expect: ANY, requestHash: REQUEST });
  });
  after(async () => {
    for (const each of opened.reverse()) await each[Symbol.asyncDispose]();
    await origin?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  const fromOrigin = (): CopySource => ({
    store: origin.store,
    belongingsOf: belongingsIn(origin.owner, origin.store.ledgerId),
  });
  const streams = (): EventStore => {
    const store = connect({ url: server.url, prefix: `t_${randomBytes(8).toString('hex')}` });
    opened.push(store);
    return store;
  };
  const copy = async (source: CopySource, taker: ShareTaker, signal = NEVER): Promise<Copied | undefined> =>
    await copyLedger({ source, taker, trust: trustIn(source.store.ledgerId, origin.keys), signal });
  const codeOf = async (work: Promise<unknown>): Promise<unknown> =>
    await work.then(
      () => 'nothing',
      (error: CarryError) => error.code,
    );

  const expectSame = async (copied: StreamStore): Promise<void> => {
    expect(copied.ledgerId).to.equal(origin.store.ledgerId);
    const heads = await origin.store.heads();
    expect(await copied.heads()).to.deep.equal(heads);
    for (const { tenant, seq } of heads) {
      const factsOf = async (store: StreamStore) =>
        (await Array.fromAsync(store.read(tenant))).flat().map(({ parsed: _, ...fact }) => fact);
      expect(await factsOf(copied)).to.deep.equal(await factsOf(origin.store));
      for (let at = 1 as Seq; at <= seq; at = (at + 1) as Seq)
        expect(await copied.proof(tenant, at), `${tenant}/${at}`).to.deep.equal(
          await origin.store.proof(tenant, at),
        );
    }
    const again = { tenant: acme, drafts: [asked], expect: ANY };
    expect((await copied.append({ ...again, requestHash: REQUEST })).kind).to.equal('repeated');
    expect((await copied.append(again)).kind).to.equal('id-taken');
  };

  it('postgres to postgres, whole, and it goes on from there', async () => {
    await using target = await openPostgres();
    const { ledgerId } = origin.store;
    const arrival = await beginArrival(target.owner, { source: 'a copy', ledgerId });
    const copied = await copy(fromOrigin(), postgresShareTaker(target.pool(), ledgerId));
    expect(copied).to.deep.equal({ facts: 60, heads: await origin.store.heads() });
    await arrival.end();
    const store = await target.storeWith({ pool: target.pool(), ...testSigner() });
    await expectSame(store);
    expect((await append(store, acme, draft())).kind).to.equal('appended');
  });

  it('postgres to EventStoreDB and on to postgres, killed in the midst of a share on the way', async () => {
    const store = streams();
    const { ledgerId } = origin.store;
    // Appends of a few facts, so that a share needs several.
    const taker = await eventStoreShareTaker({ store, ledgerId, maxBatchBytes: 8_000 });
    let appends = 0;
    const { client } = store;
    const appendToStream = client.appendToStream.bind(client);
    client.appendToStream = ((...args: Parameters<typeof appendToStream>) => {
      appends += 1;
      if (appends === 6) throw new Error('killed');
      return appendToStream(...args);
    }) as typeof client.appendToStream;
    expect(await codeOf(copy(fromOrigin(), taker))).to.equal('unexpected');
    expect((await taker.position(acme)).seq).to.be.lessThan(41);
    const goesOn = await copy(fromOrigin(), taker);
    expect(goesOn?.heads).to.deep.equal(await origin.store.heads());
    const streamStore = await eventStoreStreamStore({ store, ...testSigner() });
    opened.push(streamStore);
    await expectSame(streamStore);

    await using target = await openPostgres();
    const arrival = await beginArrival(target.owner, { source: 'a copy', ledgerId });
    const back = { store: streamStore, belongingsOf: belongingsInStreams(store) };
    expect(await copy(back, postgresShareTaker(target.pool(), ledgerId))).to.deep.include({ facts: 60 });
    await arrival.end();
    await expectSame(await target.storeWith({ pool: target.pool(), ...testSigner() }));
  });

  it('into streams of another ledger, or on top of another history, nothing goes', async () => {
    const store = streams();
    const foreign = await eventStoreStreamStore({ store, ...testSigner() });
    opened.push(foreign);
    const { ledgerId } = origin.store;
    expect(await codeOf(eventStoreShareTaker({ store, ledgerId }))).to.equal('not-empty');
    await openTenants(foreign, acme);
    await append(foreign, acme, ...drafts(60));
    const taker = await eventStoreShareTaker({ store, ledgerId: foreign.ledgerId });
    expect(await codeOf(copy(fromOrigin(), taker))).to.equal('other-history');
  });
});
