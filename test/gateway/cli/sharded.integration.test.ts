// The commands that ask a ledger, on one of two servers with a tenant on each: none of them takes the home for all of it.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { tenantId } from '#schemas/ids.ts';
import { appendReceipts } from '#test/projectors/ledger-facts.ts';
import { type ShardedLedger, shardedLedger } from '#test/support/sharded-ledger.ts';
import { runIn } from './world.ts';

const acme = tenantId('acme');
const globex = tenantId('globex');

describe('commands on a ledger on two servers', function () {
  this.timeout(180_000);
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-sharded-'));
  const file = (name: string): string => join(folder, name);
  let sharded: ShardedLedger;
  before(async () => {
    sharded = await shardedLedger([acme, globex], [globex]);
    for (const tenant of [acme, globex])
      await appendReceipts(sharded.ledger.store, tenant, { from: 2, count: 5 });
    await sharded.ledger.catchUp(new AbortController().signal);
    writeFileSync(
      file('more.ndjson'),
      '{"id":"more","action":"a","actor":"b","decision":"allow","created_at":"2026-11-21T09:00:00Z"}\n',
    );
  });
  after(async () => {
    rmSync(folder, { recursive: true });
    await sharded[Symbol.asyncDispose]();
  });

  const cli = async (...argv: readonly string[]) => {
    const { ledger, keys } = sharded;
    const { store, feed } = ledger;
    return await runIn({ store, feed, keys }, argv, {
      clock: Date.now as never,
      resumptionFolder: () => folder,
      keys: async () => ledger.keys,
      // Closed with the fixture.
      open: async () => ({ ...ledger, feed, [Symbol.asyncDispose]: async () => undefined }),
    });
  };

  const asked: readonly (readonly [line: string, says: RegExp])[] = [
    ['tenant list', /globex/],
    ['tenant show globex', /globex/],
    ['tenant rename globex --name Globex', /./],
    ['token create globex --label build', /./],
    ['token list globex', /build/],
    ['ingest FOLDER/more.ndjson --tenant globex', /./],
    ['receipt get more --tenant globex', /more/],
    ['head globex', /globex/],
    ['verify tenant globex', /globex/],
    ['verify all', /globex/],
    ['export globex --out FOLDER/globex.ndjson', /./],
    ['status', /facts/],
    ['projections status globex', /globex +receipts v1 +current/],
    ['projections list', /receipts/],
    ['projections lag', /receipts/],
    ['projections verify receipts', /2 tenants|3 tenants/],
    ['projections verify receipts --tenant globex', /1 tenant/],
    ['projections rebuild receipts --tenant globex --quiet', /equal to an independent replay/],
    ['projections rebuild receipts_daily --quiet', /equal to an independent replay/],
    ['projections rollback receipts_daily', /again/],
    ['projections pause tenants --reason test', /./],
    ['projections resume tenants', /./],
    ['projections parked show globex', /./],
    ['attest policy show receipts --tenant globex', /./],
    ['sagas status', /./],
    ['gates show receipts --tenant globex', /./],
    ['flags list --tenant globex', /./],
    ['views at --as today --quiet', /equal to an independent replay/],
    ['views at --as one --tenant globex --seq 3 --quiet', /1 tenant|fact 3 of globex/],
    ['views list', /as_of_today/],
    ['views export FOLDER/files --snapshot today', /receipts/],
    ['views history receipts more --tenant globex', /./],
    ['views drop today', /dropped/],
    ['sql SELECT+count(*)+AS+n+FROM+views.receipts', /11/],
    ['heads export --out FOLDER/heads.json', /./],
    ['heads check FOLDER/heads.json', /held/],
    ['dlq list', /no letters/],
    ['replay --ledger --tenant globex --quiet', /./],
  ];

  it('replay --ledger says that it goes tenant by tenant', async () => {
    const { code, stderr } = await cli('replay', '--ledger');
    expect(code, stderr).to.equal(2);
    expect(stderr).to.match(/replayed tenant by tenant: say which with --tenant/);
  });

  for (const [line, says] of asked)
    it(line.replaceAll('FOLDER/', '').replaceAll('+', ' '), async () => {
      const argv = line
        .split(' ')
        .map((word) => word.replace('FOLDER', folder))
        .map((word) => (word.startsWith('SELECT') ? word.replaceAll('+', ' ') : word));
      const { code, stdout, stderr } = await cli(...argv);
      expect(code, `${stdout} ${stderr}`).to.equal(0);
      expect(stdout + stderr).to.match(says);
    });
});
