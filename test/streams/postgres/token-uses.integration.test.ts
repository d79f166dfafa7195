// The last uses of tokens, as the role of the service writes and reads them.
import { expect } from 'chai';
import { type Instant, tenantId } from '#schemas/ids.ts';
import { lastTokenUses, type TokenUse, writeTokenUses } from '#streams/postgres/token-uses.ts';
import { openPostgres, type PostgresUnderTest } from './postgres-adapter.ts';

const acme = tenantId('acme');
const use = (tokenId: string, at: number, tenant = acme): TokenUse => ({
  tenant,
  tokenId,
  at: at as Instant,
});

describe('streams/postgres: last uses of tokens', function () {
  this.timeout(30_000);
  let postgres: PostgresUnderTest;

  before(async () => {
    postgres = await openPostgres();
    await postgres.owner.query("SELECT ledger.open_tenant('acme'), ledger.open_tenant('globex')");
  });
  after(() => postgres[Symbol.asyncDispose]());

  it('are the newest, whichever process writes last; of tenants that are not there nothing is kept', async () => {
    const pool = postgres.pool();
    await writeTokenUses(pool, []);
    await writeTokenUses(pool, [use('a', 2_000), use('b', 500), use('a', 1, tenantId('nowhere'))]);
    await writeTokenUses(pool, [use('a', 1_000), use('b', 900), use('a', 3, tenantId('globex'))]);
    expect(await lastTokenUses(pool)(acme)).to.deep.equal(
      new Map([
        ['a', 2_000],
        ['b', 900],
      ]),
    );
    expect(await lastTokenUses(pool)(tenantId('globex'))).to.deep.equal(new Map([['a', 3]]));
    expect(await lastTokenUses(pool)(tenantId('nowhere'))).to.deep.equal(new Map());
  });

  it('are written by several at once without waiting in a circle', async () => {
    const pool = postgres.pool();
    const ids = Array.from({ length: 200 }, (_, index) => `t${index}`);
    const rounds = Array.from({ length: 20 }, (_, round) => {
      const order = round % 2 === 0 ? ids : ids.toReversed();
      return writeTokenUses(
        pool,
        order.map((id) => use(id, 10_000 + round)),
      );
    });
    await Promise.all(rounds);
    const found = await lastTokenUses(pool)(acme);
    expect(ids.map((id) => found.get(id))).to.deep.equal(ids.map(() => 10_019));
  });
});
