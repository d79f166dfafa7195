import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { attestations } from '#commands/attestations.ts';
import { runCommand } from '#commands/run.ts';
import { tenants } from '#commands/tenants.ts';
import { dispatcher } from '#deploy/processes/ledger/dispatch.ts';
import { readGate } from '#gateway/tenancy/write-gate.ts';
import { allSagas } from '#sagas/index.ts';
import { sagaLag } from '#sagas/postgres/lag.ts';
import { postgresSagaShelf, SAGA_MIGRATIONS } from '#sagas/postgres/shelf.ts';
import { runSagas } from '#sagas/run.ts';
import type { Instant, TenantId } from '#schemas/ids.ts';
import { connect, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { oneDatabase } from '#streams/postgres/databases.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { LEDGER_MIGRATIONS, migrate } from '#streams/postgres/migrate.ts';
import { postgresStreamStore } from '#streams/postgres/store.ts';
import { sagaShelfContract } from '#test/contracts/saga-shelf.contract.ts';
import { ACME } from '#test/projectors/chains.ts';
import { freshDatabase } from '#test/support/postgres.ts';
import { testSigner } from '#test/support/test-signer.ts';

const openLedger = async () => {
  const stack = new AsyncDisposableStack();
  const database = stack.use(await freshDatabase());
  const owner = connect({ url: database.url, max: 2 });
  stack.defer(() => owner.end());
  await migrate(owner, [LEDGER_MIGRATIONS, SAGA_MIGRATIONS]);
  const pool = connect({ url: database.url, max: 8, role: RUNTIME_ROLE });
  stack.defer(() => pool.end());
  const store = stack.use(await postgresStreamStore({ pool, signer: testSigner().signer }));
  const context = (tenant: TenantId) => ({
    tenant,
    actor: 'test',
    at: Date.now() as Instant,
    key: randomUUID(),
  });
  const create = async (tenant: TenantId): Promise<void> => {
    await runCommand(
      { store, decider: tenants },
      { type: 'CreateTenant', displayName: tenant },
      context(tenant),
    );
  };
  return { stack, pool, store, context, create };
};

describe('sagas/postgres: the shelf', function () {
  this.timeout(60_000);

  sagaShelfContract(async () => {
    const { stack, pool, store, context, create } = await openLedger();
    return {
      shelf: postgresSagaShelf(oneDatabase(pool)),
      hold: async (tenant, facts) => {
        await create(tenant);
        for (let fact = 1; fact < facts; fact += 1)
          await runCommand(
            { store, decider: tenants },
            { type: 'RenameTenant', displayName: `Name ${fact}` },
            context(tenant),
          );
      },
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  });

  it('an alarm is in force within seconds, with every fact by the saga that asked for it', async () => {
    const { stack, pool, store, context, create } = await openLedger();
    await using _ = stack;
    await create(ACME);
    const ending = new AbortController();
    const shelf = postgresSagaShelf(oneDatabase(pool));
    for (const saga of allSagas) await shelf.install(saga);
    const running = runSagas({
      feed: stack.use(postgresStreamFeed({ pool })),
      shelf,
      sagas: allSagas,
      dispatch: dispatcher(store),
      signal: ending.signal,
    });
    const side = (name: string, digit: string) => ({ store: name, seq: 1, root: digit.repeat(64) });
    await runCommand(
      { store, decider: attestations },
      {
        type: 'RecordAttestation',
        route: 'receipts',
        left: side('postgres', 'a'),
        right: side('neo4j', 'b'),
        elements: 1,
        divergent: 1,
      },
      context(ACME),
    );
    const gaveUpAt = Date.now() + 30_000;
    while (!(await readGate(store, ACME, 'receipts')).closed) {
      expect(Date.now(), 'the write path is closed').to.be.lessThan(gaveUpAt);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    ending.abort();
    await running;
    const said: string[] = [];
    for await (const page of store.read(ACME))
      said.push(...page.map(({ type, actor, opParentId }) => `${type} ${actor} ${opParentId !== undefined}`));
    expect(said.slice(2)).to.deep.equal([
      'attestations.DriftAlarmRaised saga:drift true',
      'gates.WritePathRolledBack saga:drift true',
    ]);
    const lag = await sagaLag(oneDatabase(pool), allSagas);
    expect(lag.map(({ saga, haltedTenants }) => ({ saga, haltedTenants }))).to.have.deep.members(
      allSagas.map(({ name: saga }) => ({ saga, haltedTenants: 0 })),
    );
  });
});
