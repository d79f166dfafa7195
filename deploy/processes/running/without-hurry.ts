// A service gives up on a statement that nobody waits for any more. A rebuild that was asked of it has statements that take
// as long as they take: the index of a whole read model, the COPY of a whole tenant.
import { connect, RUNTIME_ROLE, urlOf } from '#streams/postgres/connect.ts';
import { elsewhere, type LedgerDatabases } from '#streams/postgres/databases.ts';

export interface WithoutHurry extends AsyncDisposable {
  readonly databases: LedgerDatabases;
}

/** A rebuild holds one connection, and works on a few more; so many of them go at once before one waits. */
const CONNECTIONS = 8;

/** The same databases; the home's connections are others, which wait for ever, and are opened when they are needed. */
export const withoutHurry = (databases: LedgerDatabases): WithoutHurry => {
  const url = urlOf(databases.home.pool);
  if (url === undefined) throw new Error('the pool does not say where it connects to');
  const pool = connect({ url, max: CONNECTIONS, role: RUNTIME_ROLE, name: 'prov-ledger jobs' });
  const home = { ...databases.home, pool };
  return {
    databases: {
      home,
      all: [home, ...elsewhere(databases)],
      of: async (tenant) => {
        const found = await databases.of(tenant);
        return found === databases.home ? home : found;
      },
    },
    [Symbol.asyncDispose]: () => pool.end(),
  };
};
