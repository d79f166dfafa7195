// Which servers of a ledger answer. On one server the readiness says it; of several one may be away while the service
// goes on with the tenants of the others.
import type { Figure } from '#gateway/http/metrics.ts';
import { type LedgerDatabases, onEach } from '#streams/postgres/databases.ts';
import { type Sampled, sampled } from './sampled.ts';

export interface ServerUp {
  readonly shard: string;
  readonly up: boolean;
}

const ASK_EVERY_MS = 5_000;

/** Throws nothing: a server that does not answer is not up. */
export const serversUp = async ({ all }: Pick<LedgerDatabases, 'all'>): Promise<readonly ServerUp[]> =>
  await onEach(all, async ({ shard, pool }) => {
    const up = await pool.query('SELECT').then(
      () => true,
      () => false,
    );
    return { shard, up };
  });

/** Asked again and again; of a ledger on one server nothing. */
export const sampledServers = (databases: LedgerDatabases): Sampled<readonly ServerUp[]> =>
  sampled(async () => (databases.all.length > 1 ? await serversUp(databases) : []), ASK_EVERY_MS);

export const serverFigures = (servers: () => readonly ServerUp[] | undefined): readonly Figure[] => [
  {
    name: 'ledger_server_up',
    help: 'Whether a server of a ledger on several answers: 1, or 0; none on one server.',
    labels: ['shard'],
    read: () => (servers() ?? []).map(({ shard, up }) => ({ labels: { shard }, value: up ? 1 : 0 })),
  },
];
