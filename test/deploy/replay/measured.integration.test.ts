// What the nightly and the weekly script do, with few events.
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { mergedKeys } from '#deploy/replay/kept-keys.ts';
import { keysFromJwks } from '#proofs/keys/public-key.ts';
import { verifyReport } from '#replay-harness/report.ts';

const run = promisify(execFile);

describe('deploy/replay', function () {
  this.timeout(120_000);

  it('leaves a small report that verifies with the keys beside it, a page, and nothing else', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-test-'));
    const keep = join(folder, 'reports');
    const script = join(import.meta.dirname, '../../../deploy/replay/measured.ts');
    try {
      const { stdout } = await run(process.execPath, [script, '--events', '2000', '--keep', keep], {
        env: { ...process.env, PROV_LEDGER_DATA_DIR: join(folder, 'data'), TMPDIR: folder },
      });
      expect(stdout).to.include('sound, as expected').and.include('verified, signed by');
      const files = readdirSync(keep).sort();
      expect(files).to.have.length(3);
      expect(files[0]).to.equal('jwks.json');
      expect(files[1]).to.match(/^replay-2000-\d{4}-\d\d-\d\d\.dsse\.json$/);
      for (const file of files) expect(statSync(join(keep, file)).size, file).to.be.lessThan(300_000);
      const json = (file: string | undefined): unknown =>
        JSON.parse(readFileSync(join(keep, file ?? ''), 'utf8'));
      expect(verifyReport(json(files[1]), keysFromJwks(json(files[0])))).to.include({ ok: true });
      expect(readdirSync(folder).sort()).to.deep.equal(['data', 'reports']);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('keeps the keys of earlier reports', () => {
    const earlier = { keys: [{ kid: 'a', x: 1 }] };
    expect(mergedKeys(earlier, { keys: [{ kid: 'b' }] }).keys).to.deep.equal([
      { kid: 'a', x: 1 },
      { kid: 'b' },
    ]);
    expect(mergedKeys(earlier, { keys: [{ kid: 'a' }] })).to.deep.equal(earlier);
  });
});
