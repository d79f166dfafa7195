// What is made of the whole history must not leave out tenants that are on a server nobody asked: it would pass for whole.
import { RebuildError } from '#projectors/rebuild/errors.ts';
import type { TenantId } from '#schemas/ids.ts';
import { headsElsewhere, type LedgerDatabases, onEach } from '#streams/postgres/databases.ts';

/** Throws `RebuildError` `elsewhere`, `StreamError`. */
export const refuseUnasked = async (databases: LedgerDatabases): Promise<void> => {
  const [gone = []] = await onEach(
    [databases.home],
    async ({ pool }) =>
      (await pool.query<{ tenant: TenantId }>("SELECT tenant FROM ledger.heads WHERE standing = 'gone'"))
        .rows,
  );
  const asked = new Set((await headsElsewhere(databases)).map(({ tenant }) => tenant));
  const missing = gone.find(({ tenant }) => !asked.has(tenant));
  if (missing)
    throw new RebuildError(
      'elsewhere',
      `${missing.tenant} is on a server that was not asked: name it in PROV_LEDGER_SHARDS, or run its \`prov-ledger tenant move\` to the end`,
    );
};
