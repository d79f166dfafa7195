import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { World } from '#gateway/cli/world.ts';
import { signHeads } from '#proofs/heads.ts';
import { jwks } from '#proofs/keys/public-key.ts';
import type { Signer } from '#proofs/keys/signer.ts';
import { type Instant, type Seq, sha256, tenantId } from '#schemas/ids.ts';
import { ACME, memoryLedger, type OpenMemoryLedger } from '#test/support/memory-ledger.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { runIn } from './world.ts';

describe('gateway/cli: heads', () => {
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-heads-'));
  after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'heads.json');
  const { signer, keys } = testSigner();
  const jwksFile = join(folder, 'jwks.json');
  let ledger: OpenMemoryLedger;
  before(async () => {
    ledger = await memoryLedger();
    writeFileSync(jwksFile, JSON.stringify(jwks(keys)));
  });
  const heads = (...args: readonly string[]) =>
    runIn(ledger, ['heads', ...args], { keys: async () => ({ signer }) } as unknown as Partial<World>);
  const kept = async (over: object, by: Signer = signer): Promise<void> => {
    const [head] = await ledger.store.heads();
    const statement = {
      ledgerId: ledger.store.ledgerId,
      madeAt: 0 as Instant,
      heads: [{ ...head, ...over }],
    };
    writeFileSync(file, JSON.stringify(await signHeads(by, statement as never)));
  };
  const check = () => heads('check', file, '--jwks', jwksFile);

  it('a file that was exported is held by the ledger it came from', async () => {
    expect((await heads('export', '--out', file)).code).to.equal(0);
    const held = await check();
    expect(held.stdout).to.equal('held: 1 head of 2026-11-21T10:00:00.000Z is in the ledger\n');
    expect(held.code).to.equal(0);
    expect((await heads('export')).stdout).to.equal(readFileSync(file, 'utf8'));
  });

  it('names what was lost, with exit code 1', async () => {
    for (const [over, line] of [
      [{ seq: 12 as Seq }, 'acme: rolled back to fact 1; it had 12 facts'],
      [{ hash: sha256('00'.repeat(32)) }, 'acme: fact 1 is another than it was'],
      [{ tenant: tenantId('globex') }, 'globex: its chain is gone; it had 1 fact'],
    ] as const) {
      await kept(over);
      const { code, stdout } = await check();
      expect(code).to.equal(1);
      expect(stdout).to.contain(line).and.contain('NOT held');
    }
    await kept({ seq: 12 as Seq });
    const { stdout } = await heads('check', file, '--jwks', jwksFile, '--json');
    expect(JSON.parse(stdout)).to.deep.include({
      ok: false,
      lost: [
        {
          tenant: ACME,
          seq: 12,
          hash: (await ledger.store.head(ACME))?.hash,
          loss: 'rolled-back',
          head_seq: 1,
        },
      ],
    });
  });

  it('believes no file that a trusted key has not signed, and none of another ledger', async () => {
    await kept({}, testSigner().signer);
    const unknown = await check();
    expect([unknown.code, unknown.stderr]).to.deep.equal([
      1,
      `prov-ledger: ${file} is signed with a key that is not in the keys folder: put that folder back (PROV_LEDGER_KEYS_DIR), or name the public keys with --jwks\n`,
    ]);
    writeFileSync(file, 'no JSON');
    expect((await check()).stderr).to.contain('is no heads file');
    expect((await heads('check', join(folder, 'none'))).code).to.equal(3);
    const other = { ledgerId: '0b9ad1a8-6f44-4f6e-9a5e-0d7a1f3c2b1d', madeAt: 0 as Instant, heads: [] };
    writeFileSync(file, JSON.stringify(await signHeads(signer, other)));
    expect((await check()).stderr).to.contain('is of the ledger 0b9ad1a8');
  });
});
