// The databases of one ledger, its home first; on one server that is all. What reads tables, and does not ask through the
// ports, goes through here: over each of them, or on the one that has a tenant.
import type { TenantId } from '#schemas/ids.ts';
import { HOME } from '#schemas/placements.ts';
import type { Head } from '#streams/stream.ts';
import { type Pool, streamError, withClient } from './connect.ts';
import { readHeads } from './reader.ts';

export interface LedgerDatabase {
  /** Its name among those of the ledger. */
  readonly shard: string;
  /** Connections of the runtime role. */
  readonly pool: Pool;
}

export interface LedgerDatabases {
  /** With the operators' chain, the read models, and what is kept about messages. */
  readonly home: LedgerDatabase;
  /** The home first. */
  readonly all: readonly LedgerDatabase[];
  /** The one that has the tenant, by its placement of this moment. Throws `StreamError`. */
  readonly of: (tenant: TenantId) => Promise<LedgerDatabase>;
}

/** Of a ledger on one server. */
export const oneDatabase = (pool: Pool): LedgerDatabases => {
  const home = { shard: HOME, pool };
  return { home, all: [home], of: async () => home };
};

/** The same work on each, all at once; the answers in their order. Throws `StreamError` where one does not answer. */
export const onEach = async <T>(
  databases: readonly LedgerDatabase[],
  work: (database: LedgerDatabase) => Promise<T>,
): Promise<readonly T[]> => {
  try {
    return await Promise.all(databases.map(work));
  } catch (error) {
    throw streamError(error);
  }
};

/** Those beside the home. */
export const elsewhere = ({ home, all }: LedgerDatabases): readonly LedgerDatabase[] =>
  all.filter((database) => database !== home);

/** The heads of the tenants that are not at home: no question on one server. Throws `StreamError`. */
export const headsElsewhere = async (databases: LedgerDatabases): Promise<readonly Head[]> => {
  const heads = await onEach(elsewhere(databases), ({ pool }) =>
    withClient(pool, (client) => readHeads(client)),
  );
  return heads.flat();
};
