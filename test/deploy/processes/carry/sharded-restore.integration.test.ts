// A ledger on two servers that comes back: from its backup, from exports, and as a copy on one server.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { OPERATORS } from '#commands/tenants.ts';
import type { Configuration } from '#deploy/configuration.ts';
import { backUp, restore } from '#deploy/processes/carry/backup.ts';
import { bring } from '#deploy/processes/carry/bring.ts';
import { copy } from '#deploy/processes/carry/copy.ts';
import { migrateDatabase } from '#deploy/processes/ledger/database.ts';
import { openLedger } from '#deploy/processes/ledger/wire.ts';
import { readPlacement } from '#gateway/tenancy/placement.ts';
import { type TenantId, tenantId } from '#schemas/ids.ts';
import { appendReceipts } from '#test/projectors/ledger-facts.ts';
import { expectLedgerSound } from '#test/support/ledger-sound.ts';
import { type FreshDatabase, freshDatabase } from '#test/support/postgres.ts';
import { type ShardedLedger, shardedLedger } from '#test/support/sharded-ledger.ts';
import { inProcess } from '../in-process.ts';
import { endAll } from '../program.ts';

const acme = tenantId('acme');
const globex = tenantId('globex');
const NEVER = new AbortController().signal;

describe('a ledger on two servers comes back', function () {
  this.timeout(180_000);
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-sharded-'));
  const fresh: FreshDatabase[] = [];
  let sharded: ShardedLedger;
  before(async () => {
    sharded = await shardedLedger([acme, globex], [globex]);
    for (const tenant of [acme, globex])
      await appendReceipts(sharded.ledger.store, tenant, { from: 2, count: 30 });
  });
  after(async () => {
    await endAll();
    rmSync(folder, { recursive: true });
    for (const each of fresh) await each[Symbol.asyncDispose]();
    await sharded[Symbol.asyncDispose]();
  });

  const database = async (): Promise<string> => {
    const made = await freshDatabase();
    fresh.push(made);
    return made.url;
  };
  /** The heads of what is configured, once every chain and signature of it was found sound. */
  const soundHeads = async (configuration: Configuration) => {
    await using ledger = await openLedger(configuration);
    await expectLedgerSound({ store: ledger.store, keys: sharded.keys });
    const heads = await ledger.store.heads();
    const { shard } = await readPlacement(ledger.store, globex);
    return { heads, globexIsOn: shard };
  };
  const headsNow = () => sharded.ledger.store.heads();
  const withoutOperators = (heads: Awaited<ReturnType<typeof headsNow>>) =>
    heads.filter(({ tenant }) => tenant !== OPERATORS);

  it('from a backup of every server, each into its own', async () => {
    const into = join(folder, 'backup');
    const saved = await backUp(sharded.configuration, { folder: into, onBytes: () => undefined });
    expect(saved.map((each) => each.folder)).to.deep.equal([join(into, 'home'), join(into, 'east')]);
    const restored: Configuration = {
      ...sharded.configuration,
      databaseUrl: await database(),
      shards: [{ name: 'east', url: await database() }],
    };
    await restore(restored, { folder: into });
    expect(await soundHeads(restored)).to.deep.equal({ heads: await headsNow(), globexIsOn: 'east' });
  });

  const exported = async (tenant: TenantId): Promise<string> => {
    const file = join(folder, `${tenant}.ndjson`);
    const { code, stderr } = await inProcess(['export', tenant, '--out', file], {
      env: {
        DATABASE_URL: sharded.home,
        PROV_LEDGER_SHARDS: `east=${sharded.east}`,
        PROV_LEDGER_DATA_DIR: sharded.configuration.dataDir,
      },
    });
    expect(code, stderr).to.equal(0);
    return file;
  };

  it('from exports: what a server still has stays there, and the rest is placed at home', async () => {
    const from = [await exported(OPERATORS), await exported(acme), await exported(globex)];
    const bringing = { from, keys: sharded.ledger.jwks(), signal: NEVER, onProgress: () => undefined };
    const kept: Configuration = { ...sharded.configuration, databaseUrl: await database() };
    await bring(kept, bringing);
    expect(await soundHeads(kept)).to.deep.equal({ heads: await headsNow(), globexIsOn: 'east' });
    const empty = await database();
    const lost: Configuration = {
      ...kept,
      databaseUrl: empty,
      shards: [{ name: 'east', url: await database() }],
    };
    await bring(lost, bringing);
    const { heads, globexIsOn } = await soundHeads(lost);
    expect(globexIsOn).to.equal('home');
    expect(withoutOperators(heads)).to.deep.equal(withoutOperators(await headsNow()));
  });

  it('as a copy on one server, which has all of it', async () => {
    const to = await database();
    await migrateDatabase(to);
    const copied = await copy(
      { configuration: sharded.configuration, env: {} },
      {
        from: 'postgres',
        to,
        keys: sharded.ledger.jwks(),
        signal: NEVER,
        onProgress: () => undefined,
      },
    );
    expect(copied?.heads).to.deep.equal(await headsNow());
    const { heads, globexIsOn } = await soundHeads({ ...sharded.configuration, databaseUrl: to, shards: [] });
    expect(globexIsOn).to.equal('home');
    expect(withoutOperators(heads)).to.deep.equal(withoutOperators(await headsNow()));
  });
});
