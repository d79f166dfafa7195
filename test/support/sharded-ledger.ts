// A ledger on two databases, home and east, wired as the program wires it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { type Configuration, readConfiguration } from '#deploy/configuration.ts';
import { connectionUrl } from '#deploy/embedded/server.ts';
import { migrateDatabase } from '#deploy/processes/ledger/database.ts';
import { prepareShards } from '#deploy/processes/ledger/shards.ts';
import { type WiredLedger, wireLedger } from '#deploy/processes/ledger/wire.ts';
import { type Moved, type MoveStep, moveTenant } from '#gateway/tenancy/move.ts';
import { keysFromJwks, type VerificationKey } from '#proofs/keys/public-key.ts';
import type { Instant, TenantId } from '#schemas/ids.ts';
import { trustIn } from '#streams/carry.ts';
import { type DatabaseTemplate, freshDatabase } from './postgres.ts';
import { createTenant } from './transport.ts';

const template: DatabaseTemplate = {
  name: 'whole-ledger',
  prepare: async (connection) => void (await migrateDatabase(connectionUrl(connection))),
};

export interface ShardedLedger extends AsyncDisposable {
  readonly home: string;
  readonly east: string;
  readonly configuration: Configuration;
  readonly ledger: WiredLedger;
  readonly keys: readonly VerificationKey[];
  /** As another process would open it. */
  readonly another: () => Promise<WiredLedger>;
  readonly move: (tenant: TenantId, to: string, onStep?: (step: MoveStep) => void) => Promise<Moved>;
}

/** With tenants, those of `away` moved east; `settings` beside those of the databases. */
export const shardedLedger = async (
  tenants: readonly TenantId[],
  away: readonly TenantId[] = [],
  settings: Readonly<Record<string, string>> = {},
): Promise<ShardedLedger> => {
  await using opening = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-sharded-'));
  opening.defer(() => rmSync(folder, { recursive: true, force: true }));
  const home = opening.use(await freshDatabase({ template }));
  const east = opening.use(await freshDatabase({ template }));
  const read = readConfiguration(
    {
      ...settings,
      DATABASE_URL: home.url,
      PROV_LEDGER_SHARDS: `east=${east.url}`,
      PROV_LEDGER_DATA_DIR: folder,
      PROV_LEDGER_POOL_SIZE: '6',
    },
    () => folder,
  );
  if (!read.ok) throw new Error(JSON.stringify(read.faults));
  const { configuration } = read;
  await newIdentity(home.url);
  await prepareShards(configuration, home.url);
  const another = async (): Promise<WiredLedger> =>
    opened.use(
      await wireLedger(configuration, {
        url: home.url,
        embedded: false,
        [Symbol.asyncDispose]: async () => undefined,
      }),
    );
  const opened = opening.use(new AsyncDisposableStack());
  const ledger = await another();
  const move: ShardedLedger['move'] = async (tenant, to, onStep) => {
    const moved = await moveTenant({
      tenant,
      to,
      shards: ledger.shards ?? new Map(),
      home: ledger.store,
      trust: trustIn(ledger.store.ledgerId, keysFromJwks(ledger.jwks())),
      actor: 'test',
      now: () => Date.now() as Instant,
      signal: new AbortController().signal,
      ...(onStep && { onStep }),
    });
    if (!moved) throw new Error('the move was ended');
    return moved;
  };
  for (const tenant of tenants) await createTenant(ledger.store, tenant);
  for (const tenant of away) await move(tenant, 'east');
  const open = opening.move();
  return {
    home: home.url,
    east: east.url,
    configuration,
    ledger,
    keys: keysFromJwks(ledger.jwks()),
    another,
    move,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
};

// A clone has the ledger id of its template.
const newIdentity = async (url: string): Promise<void> => {
  const session = new pg.Client(url);
  await session.connect();
  await session.query(`ALTER TABLE ledger.identity DISABLE TRIGGER immutable;
    UPDATE ledger.identity SET id = gen_random_uuid();
    ALTER TABLE ledger.identity ENABLE TRIGGER immutable`);
  await session.end();
};
