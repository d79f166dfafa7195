// Handlers that write to two stores, wrapped, against a running service.
import { expect } from 'chai';
import { gates } from '#commands/gates.ts';
import { runCommand } from '#commands/run.ts';
import { type AttestedOptions, attested, type HeldValue } from '#gateway/sdk/attested.ts';
import { currentOperation } from '#gateway/sdk/operation.ts';
import type { Instant } from '#schemas/ids.ts';
import { acme, type GatewayUnderTest, openGateway } from '../http/gateway-under-test.ts';

interface Order {
  readonly id: string;
  readonly total: HeldValue;
}

describe('gateway/sdk/attested', function () {
  this.timeout(20_000);
  const route = 'POST:/v1/orders';
  let under: GatewayUnderTest;
  let url: string;
  let token: string;
  let tables: Map<string, HeldValue>;
  let graph: Map<string, HeldValue>;
  let unattested: string[];

  beforeEach(async () => {
    under = await openGateway();
    url = await under.gateway.listen({ host: '127.0.0.1', port: 0 });
    token = await under.token({ scopes: ['attestations:report'] });
    tables = new Map();
    graph = new Map();
    unattested = [];
  });
  afterEach(() => under[Symbol.asyncDispose]());

  const held = (store: string, all: ReadonlyMap<string, HeldValue>, id: string) => ({
    store,
    elements: all.has(id) ? [{ element: 'Order', id, fields: { total: all.get(id) } }] : [],
  });
  const wrapped = (
    handler: (order: Order) => Promise<unknown>,
    over: Partial<AttestedOptions<Order, unknown>> = {},
  ) =>
    attested(handler, {
      url,
      token,
      route,
      settleMs: 50,
      mapper: async ({ id }) => [held('postgres', tables, id), held('neo4j', graph, id)],
      onUnattested: (error) => void unattested.push((error as Error).message),
      ...over,
    });
  const both = async ({ id, total }: Order): Promise<string> => {
    tables.set(id, total);
    graph.set(id, total);
    return id;
  };
  const facts = async () => {
    const said: { type: string; op: string | undefined; parent: string | undefined; divergent: number }[] =
      [];
    for await (const page of under.store.read(acme))
      for (const { type, opId, opParentId, payload } of page)
        if (type.startsWith('attestations.'))
          said.push({ type, op: opId, parent: opParentId, divergent: JSON.parse(payload).divergent });
    return said;
  };

  it('leaves each write on record, with its operation and the one that caused it', async () => {
    const inner = wrapped(both);
    const outer = wrapped(async (order) => {
      await inner({ ...order, id: `${order.id}-line` });
      return await both(order);
    });
    expect(await outer({ id: '4711', total: 12 })).to.equal('4711');
    const said = await facts();
    expect(said.map(({ type, divergent }) => [type, divergent])).to.deep.equal([
      ['attestations.WriteAttested', 0],
      ['attestations.WriteAttested', 0],
    ]);
    expect(said[0]?.parent, 'the inner one is caused by the outer one').to.equal(said[1]?.op);
    expect(said[1]?.parent).to.equal(undefined);
    expect(unattested).to.deep.equal([]);
  });

  it('takes the same in another spelling for the same, and an integer for no float', async () => {
    const spelt = wrapped(async ({ id }) => {
      tables.set(id, ['Zo\u00eb', new Date(5), 5n, null]);
      graph.set(id, ['Zoe\u0308', { is: 'time', text: '5000000' }, 5, undefined]);
    });
    await spelt({ id: 'a', total: 0 });
    expect((await facts()).map(({ divergent }) => divergent)).to.deep.equal([0]);
    await wrapped(async ({ id }) => {
      tables.set(id, 5);
      graph.set(id, { is: 'float', text: '5' });
    })({ id: 'b', total: 0 });
    expect((await facts()).map(({ type, divergent }) => `${type} ${divergent}`)).to.deep.equal([
      'attestations.WriteAttested 0',
      'attestations.WriteAttested 1',
      'attestations.AttestationRecorded 1',
      'attestations.DriftLocated undefined',
    ]);
  });

  it('waits for a store that lags, and takes what stays away for a difference', async () => {
    let looks = 0;
    const lagging = wrapped(async ({ id, total }) => void tables.set(id, total), {
      mapper: async ({ id, total }) => {
        if ((looks += 1) === 3) graph.set(id, total);
        return [held('postgres', tables, id), held('neo4j', graph, id)];
      },
    });
    await lagging({ id: 'late', total: 1 });
    expect((await facts()).map(({ divergent }) => divergent)).to.deep.equal([0]);
    await wrapped(async ({ id, total }) => void tables.set(id, total))({ id: 'lost', total: 1 });
    expect((await facts()).map(({ type }) => type)).to.include('attestations.AttestationRecorded');
  });

  it('calls no handler while the write path is closed, or while nobody can say', async () => {
    await runCommand(
      { store: under.store, decider: gates },
      { type: 'RollBackWritePath', route, reason: 'they differ' },
      { tenant: acme, actor: 'ada', at: under.clock.now as Instant, key: 'close' },
    );
    const refused = async (handler: (order: Order) => Promise<unknown>): Promise<string> =>
      await handler({ id: 'x', total: 1 }).then(
        () => 'written',
        (error: { code: string; message: string }) => `${error.code}: ${error.message}`,
      );
    expect(await refused(wrapped(both))).to.equal(
      `path-closed: the write path of ${route} is closed: they differ`,
    );
    const away = wrapped(both, {
      fetch: () => Promise.reject(new Error('no route')),
      retry: { deadlineMs: 30, baseMs: 1 },
    });
    expect(await refused(away)).to.match(/^path-closed: nobody could say/);
    expect(tables.size + graph.size).to.equal(0);
  });

  it('lets a write stand that could not be reported, and says so', async () => {
    const cut = wrapped(both, {
      fetch: (input, init) =>
        init?.method === 'POST' ? Promise.resolve(new Response('', { status: 400 })) : fetch(input, init),
    });
    expect(await cut({ id: 'y', total: 1 })).to.equal('y');
    expect(unattested).to.deep.equal(['400 without a problem document']);
    const failing = wrapped(async () => {
      throw new Error(`failed in ${currentOperation() ? 'its operation' : 'nothing'}`);
    });
    expect(await failing({ id: 'z', total: 1 }).catch((error: Error) => error.message)).to.equal(
      'failed in its operation',
    );
    expect(await facts(), 'what failed is not attested').to.deep.equal([]);
  });
});
