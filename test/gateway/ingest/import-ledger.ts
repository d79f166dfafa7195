// A ledger with one tenant for tests of the bulk import, and a shorthand for an import into it.
import { Readable } from 'node:stream';
import { runCommand } from '#commands/run.ts';
import { tenants } from '#commands/tenants.ts';
import type { LineFault } from '#gateway/ingest/chunk-sealer.ts';
import { type ImportOptions, type ImportSummary, importReceipts } from '#gateway/ingest/import.ts';
import { projectors } from '#projectors/index.ts';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { runProjectors } from '#projectors/run.ts';
import type { VerificationKey } from '#proofs/keys/public-key.ts';
import { type Instant, type TenantId, tenantId } from '#schemas/ids.ts';
import type { Pool } from '#streams/postgres/connect.ts';
import { postgresStreamFeed } from '#streams/postgres/feed.ts';
import { postgresStreamStore } from '#streams/postgres/store.ts';
import type { StreamStore } from '#streams/stream.ts';
import { projectionDatabase } from '#test/projectors/chains.ts';
import { testSigner } from '#test/support/test-signer.ts';

export const TENANT = tenantId('acme');

export interface ImportLedger extends AsyncDisposable {
  readonly url: string;
  readonly owner: Pool;
  readonly pool: Pool;
  readonly store: StreamStore;
  readonly keys: readonly VerificationKey[];
  /** Imports lines, in one piece or in pieces of a few bytes' size. */
  readonly importLines: (
    source: AsyncIterable<Uint8Array> | readonly string[],
    options?: Partial<ImportOptions>,
  ) => Promise<ImportSummary & { readonly lineFaults: readonly LineFault[] }>;
  /** Brings the read models to the head. */
  readonly catchUp: () => Promise<void>;
}

export const createTenant = async (store: StreamStore, tenant: TenantId): Promise<void> => {
  const context = { tenant, actor: 'test', at: Date.UTC(2026, 0, 1) as Instant, key: `create ${tenant}` };
  const outcome = await runCommand(
    { store, decider: tenants },
    { type: 'CreateTenant', displayName: tenant },
    context,
  );
  if (outcome.kind !== 'recorded') throw new Error(JSON.stringify(outcome));
};

/** One buffer a line; the last line has no newline, as in many files. */
const linesOf = (lines: readonly string[]): readonly Buffer[] =>
  lines.map((line, index) => Buffer.from(index < lines.length - 1 ? `${line}\n` : line));

export const importLedger = async (): Promise<ImportLedger> => {
  const database = await projectionDatabase(projectors);
  const { pool, owner } = database;
  const { signer, keys } = testSigner();
  const store = await postgresStreamStore({ pool, signer });
  await createTenant(store, TENANT);
  const ledger: ImportLedger = {
    url: database.database.url,
    owner,
    pool,
    store,
    keys,
    importLines: async (source, options = {}) => {
      const lineFaults: LineFault[] = [];
      const bytes = Array.isArray(source)
        ? Readable.from(linesOf(source))
        : (source as AsyncIterable<Uint8Array>);
      const summary = await importReceipts({
        pool,
        ledgerId: store.ledgerId,
        signer,
        tenant: TENANT,
        source: bytes,
        inline: projectors,
        chunkBytes: 64 << 10,
        onFault: (fault) => lineFaults.push(fault),
        ...options,
      });
      return { ...summary, lineFaults };
    },
    catchUp: async () => {
      await using feed = postgresStreamFeed({ pool, pollOnly: true });
      await runProjectors({
        feed,
        sink: postgresRowSink({ pool }),
        projectors,
        signal: new AbortController().signal,
        untilCaughtUp: true,
      });
    },
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
    },
  };
  await ledger.catchUp();
  return ledger;
};
