// Whether the service can take requests, part by part. The answer is open to everybody: it names parts, how many and what to
// run, and quotes no error, since those have addresses, users and tenants in them.
import { readWithin } from '#gateway/http/deadline.ts';
import type { Readiness } from '#gateway/http/routes.ts';
import type { AnyProjector } from '#projectors/batch.ts';
import { missingReadModels } from '#projectors/postgres/read-models.ts';
import type { StreamErrorCode } from '#streams/errors.ts';
import { type Pool, streamError } from '#streams/postgres/connect.ts';

export interface ReadinessParts {
  readonly pool: Pool;
  /** Which ledger this process has started on. */
  readonly ledgerId: string;
  readonly projectors: readonly AnyProjector[];
  /** How long the database may take. */
  readonly withinMs: number;
  /** Heads of the heads file that the ledger does not have; 0 without such a file. */
  readonly lostHeads: () => number;
}

export const readiness =
  ({ pool, ledgerId, projectors, withinMs, lostHeads }: ReadinessParts) =>
  async (): Promise<Readiness> => {
    const lost = lostHeads();
    const missing =
      lost > 0 ? [`${lost} heads that the heads file has: run \`prov-ledger heads check\` on it`] : [];
    try {
      missing.push(...(await readWithin(withinMs, databaseLacks({ pool, ledgerId, projectors }))));
    } catch (error) {
      missing.push(SAID[streamError(error).code] ?? 'the database: it failed, and the log says how');
    }
    return { ready: missing.length === 0, missing };
  };

const SAID: { readonly [code in StreamErrorCode]?: string } = {
  unavailable: 'the database: it does not answer',
  'schema-mismatch': 'the schema of the database: run `prov-ledger migrate`',
  forbidden: 'rights in the database: run `prov-ledger doctor`',
  'out-of-space': 'room in the database',
};

const databaseLacks = async ({
  pool,
  ledgerId,
  projectors,
}: Pick<ReadinessParts, 'pool' | 'ledgerId' | 'projectors'>): Promise<readonly string[]> => {
  // Also reads something, with the rights of the service: a server that merely answers holds no ledger yet.
  const { rows } = await pool.query<{ id: string; read_only: string }>(
    "SELECT id, current_setting('transaction_read_only') AS read_only FROM ledger.identity",
  );
  if (rows[0]?.read_only === 'on')
    return ['the database: it takes no writes; it is a standby, or was made read-only'];
  if (rows[0]?.id !== ledgerId)
    return ['the ledger: the database holds another one than this process has started on; restart it'];
  const tables = await missingReadModels(pool, projectors);
  return tables.map(({ name, version }) => `the read model ${name} v${version}: run \`prov-ledger migrate\``);
};
