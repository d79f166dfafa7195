import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { World } from '#gateway/cli/world.ts';
import type { Proof } from '#replay-harness/prove/prove.ts';
import { memoryLedger, type OpenMemoryLedger } from '#test/support/memory-ledger.ts';
import { runIn } from './world.ts';

describe('prov-ledger replay prove', function () {
  this.timeout(60_000);
  let folder: string;
  let ledger: OpenMemoryLedger;
  let fixture: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'prov-ledger-test-'));
    ledger = await memoryLedger();
    fixture = join(folder, 'small.ndjson');
    const args = ['fixtures', 'generate', '--events', '300', '--out', fixture, '--quiet'];
    expect((await runIn(ledger, args)).code).to.equal(0);
  });
  after(() => rmSync(folder, { recursive: true }));

  const prove = (args: readonly string[], over: Partial<World> = {}) =>
    runIn(ledger, ['replay', 'prove', '--fixture', fixture, '--quiet', ...args], over);

  it('goes the ways that it is told, and says that all came to the same', async () => {
    const { code, stdout } = await prove(['--ways', 'batches,restarts,arrival']);
    expect(code, stdout).to.equal(0);
    expect(stdout)
      .to.include('the same in 8 ways')
      .and.match(/batches of 20,000 +same/)
      .and.include('receipts_daily v1');
  });

  it('other zones and locales are other processes', async () => {
    const zones: string[] = [];
    const again: World['again'] = async (args, environment) => {
      zones.push(environment['TZ'] ?? '', environment['LC_ALL'] ?? '');
      return await runIn(ledger, args);
    };
    const { code, stdout } = await prove(['--ways', 'environment', '--events', '100', '--json'], { again });
    expect(code, stdout).to.equal(0);
    expect((JSON.parse(stdout) as Proof).ways).to.have.length(5);
    expect(zones).to.include('Asia/Kathmandu').and.include('tr_TR.UTF-8');
  });

  it('a way that comes to something else ends with 1; rows of both are kept', async () => {
    const again: World['again'] = async (args) => {
      const ran = await runIn(ledger, args);
      return {
        ...ran,
        stdout: ran.stdout.replace(/("projection":"receipts","version":1,"rows":)\d+/, '$199'),
      };
    };
    const keep = join(folder, 'kept');
    const { code, stdout } = await prove(['--ways', 'environment', '--keep', keep], { again });
    expect(code).to.equal(1);
    expect(stdout)
      .to.include('NOT THE SAME')
      .and.match(/receipts: \d+ rows, \w+; here 99 rows/);
    expect(existsSync(join(keep, 'one-thread-batches-of-1-000/all/receipts.rows'))).to.equal(true);
  });

  it('a process that fails is no result', async () => {
    const again: World['again'] = async () => ({ code: 4, stdout: '', stderr: 'out of memory' });
    const { code, stderr } = await prove(['--ways', 'environment'], { again });
    expect(code).to.equal(4);
    expect(stderr).to.include('ended with 4: out of memory');
  });

  it('wants a fixture, and ways that there are', async () => {
    expect((await runIn(ledger, ['replay', 'prove'])).stderr).to.include('--fixture FILE');
    expect((await prove(['--ways', 'moon'])).stderr).to.include('there is no way moon; there are batches');
  });
});
