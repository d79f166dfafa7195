import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { jwks } from '#proofs/keys/public-key.ts';
import { memoryLedger, type OpenMemoryLedger } from '#test/support/memory-ledger.ts';
import { testSigner } from '#test/support/test-signer.ts';
import { runIn } from './world.ts';

describe('prov-ledger fixtures and replay', function () {
  this.timeout(60_000);
  let folder: string;
  let ledger: OpenMemoryLedger;
  let fixture: string;
  let keysFile: string;
  const { signer, keys } = testSigner();
  const over = { keys: async () => ({ signer, keys }) as never };
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'prov-ledger-test-'));
    ledger = await memoryLedger();
    fixture = join(folder, 'small.ndjson.gz');
    keysFile = join(folder, 'jwks.json');
    writeFileSync(keysFile, JSON.stringify(jwks(keys)));
    const made = await runIn(ledger, [
      'fixtures',
      'generate',
      '--events',
      '400',
      '--out',
      fixture,
      '--quiet',
    ]);
    expect(made.code, made.stderr).to.equal(0);
  });
  after(() => rmSync(folder, { recursive: true }));

  it('a generated fixture is replayed, reported, and the report verified, with the history and without', async () => {
    const report = join(folder, 'report.dsse.json');
    const args = ['replay', '--fixture', fixture, '--workers', '0', '--report', report, '--quiet'];
    const ran = await runIn(ledger, args, over);
    expect(ran.code, ran.stderr).to.equal(0);
    expect(ran.stdout).to.include('sound, as expected').and.include('receipts_daily v1');
    const verified = await runIn(ledger, [
      'replay',
      'verify',
      report,
      '--jwks',
      keysFile,
      '--fixture',
      fixture,
    ]);
    expect(verified.code, verified.stdout).to.equal(0);
    expect(verified.stdout).to.include('the same history comes to the same now');
    expect(verified.stdout).to.match(/history +small\.ndjson\.gz, /);
    const [html, png] = [join(folder, 'report.html'), join(folder, 'report.png')];
    const drawn = ['replay', 'report', report, '--jwks', keysFile, '--html', html, '--png', png];
    expect((await runIn(ledger, drawn)).code).to.equal(0);
    expect(readFileSync(html, 'utf8')).to.include('sound, as expected').and.include(signer.kid);
    expect(readFileSync(png).subarray(1, 4).toString()).to.equal('PNG');
    // Another first character, whichever the signature begins with.
    const another = (_: string, first: string): string => `"sig": "${first === 'A' ? 'B' : 'A'}`;
    writeFileSync(report, readFileSync(report, 'utf8').replace(/"sig": "(.)/, another));
    const forged = await runIn(ledger, ['replay', 'verify', report, '--jwks', keysFile]);
    expect(forged.code).to.equal(1);
    expect(forged.stdout).to.include('NOT VERIFIED');
    expect((await runIn(ledger, drawn)).code).to.equal(1);
    expect((await runIn(ledger, ['replay', 'report', report])).stderr).to.include('--html FILE');
  });

  it('a replay that does not hold ends with 1, and says which fact', async () => {
    const plain = join(folder, 'plain.ndjson');
    await runIn(ledger, ['fixtures', 'generate', '--events', '50', '--out', plain, '--quiet']);
    writeFileSync(plain, readFileSync(plain, 'utf8').replace('"seq":5,', '"seq":6,'));
    const ran = await runIn(ledger, ['replay', '--fixture', plain, '--workers', '0', '--quiet', '--json']);
    expect(ran.code).to.equal(1);
    expect(JSON.parse(ran.stdout)).to.have.nested.property('fault.code', 'seq-gap');
  });

  it('a chain is recorded from the ledger, and exported, and both come to the same', async () => {
    const recorded = join(folder, 'acme.ndjson');
    const exported = join(folder, 'acme.export.ndjson');
    const own = join(folder, 'own.json');
    writeFileSync(own, JSON.stringify(jwks(ledger.keys)));
    expect((await runIn(ledger, ['fixtures', 'record', 'acme', '--out', recorded, '--quiet'])).code).to.equal(
      0,
    );
    expect((await runIn(ledger, ['export', 'acme', '--out', exported, '--quiet'])).code).to.equal(0);
    const sources = [
      ['--fixture', recorded],
      ['--export', exported, '--jwks', own],
    ];
    const outcomes: unknown[] = [];
    for (const source of sources) {
      const ran = await runIn(ledger, ['replay', ...source, '--workers', '0', '--quiet', '--json']);
      expect(ran.code, ran.stdout).to.equal(0);
      outcomes.push((JSON.parse(ran.stdout) as { outcome: unknown }).outcome);
    }
    expect(outcomes[0]).to.deep.equal(outcomes[1]);
    const untrusted = ['replay', '--export', exported, '--jwks', keysFile, '--workers', '0', '--quiet'];
    expect((await runIn(ledger, untrusted)).stdout)
      .to.include('NOT SOUND')
      .and.include('not among the trusted keys');
  });

  it('ended by ctrl-C it leaves nothing behind', async () => {
    const before = readdirSync(folder);
    const stopped = { signal: AbortSignal.abort() };
    const out = join(folder, 'never.ndjson');
    expect(
      (await runIn(ledger, ['fixtures', 'generate', '--events', '9', '--out', out, '-q'], stopped)).code,
    ).to.equal(130);
    expect(
      (await runIn(ledger, ['replay', '--fixture', fixture, '--workers', '0', '-q'], stopped)).code,
    ).to.equal(130);
    expect(readdirSync(folder)).to.deep.equal(before);
  });

  const refused: readonly (readonly [args: readonly string[], message: RegExp])[] = [
    [['replay'], /say what to replay/],
    [['replay', '--fixture', 'a', '--ledger'], /one of the three/],
    [['replay', '--export', 'a'], /--jwks FILE/],
    [['replay', '--fixture', 'a', '--tenant', 'acme'], /--tenant goes with --ledger/],
    [['replay', '--ledger', '--store', 'postgres'], /--store postgres goes with --fixture/],
    [['replay', '--fixture', 'a', '--workers', '99'], /0 to 64/],
    [['replay', '--fixture', 'a', '--read-models', 'nope'], /there is no read model nope; there are/],
    [['fixtures', 'generate', '--events', '2', '--tenants', '3', '--out', 'x'], /give more/],
    [
      ['fixtures', 'generate', '--events', '2', '--seed', '-1', '--out', 'x'],
      /whole number from 0 to 4294967295/,
    ],
    [['fixtures', 'record', 'acme', '--from', '9', '--out', 'x'], /there is no range/],
  ];
  for (const [args, message] of refused)
    it(`${args.join(' ')} is refused with what to do`, async () => {
      const { code, stderr } = await runIn(ledger, args);
      expect(code).to.equal(2);
      expect(stderr).to.match(message);
    });
});
