import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { World } from '#gateway/cli/world.ts';
import { type KnownIds, released } from '#schemas/registry/released.ts';
import { subjects } from '#schemas/registry/subjects.ts';
import { wireSchemas } from '#streams/kafka/registry.ts';
import { type KafkaPair, kafkaPair } from '#test/support/kafka.ts';
import { memoryLedger } from '#test/support/memory-ledger.ts';
import { type Ran, runIn } from './world.ts';

describe('prov-ledger schemas', function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-schemas-'));
  const idsFile = join(folder, 'ids.json');
  let pair: KafkaPair;
  before(async function () {
    pair = await kafkaPair(this);
  });
  after(() => rmSync(folder, { recursive: true }));

  const run = async (...argv: readonly string[]): Promise<Ran> => {
    const schemas = wireSchemas({ url: pair.registryUrl, known: {} });
    const world: Partial<World> = { registry: async () => ({ url: pair.registryUrl, schemas, idsFile }) };
    return await runIn(await memoryLedger(), ['schemas', ...argv], world);
  };

  it('break nothing that was released', async () => {
    const { code, stdout } = await run('check', '--json');
    expect(code).to.equal(0);
    const answer = JSON.parse(stdout) as { compatibility: string; subjects: readonly object[] };
    expect(answer.compatibility).to.equal('FULL_TRANSITIVE');
    expect(answer.subjects).to.have.length(subjects().length);
  });

  it('are published, noted with their ids, and then all there', async () => {
    const before = await run('diff', '--json');
    expect(JSON.parse(before.stdout)).to.have.property('registry', pair.registryUrl);
    const published = await run('publish', '--record', '--json');
    expect(published.code, published.stderr).to.equal(0);
    const { ids } = JSON.parse(published.stdout) as { ids: Record<string, number> };
    expect(Object.keys(ids)).to.have.length(subjects().length);
    const noted = (JSON.parse(readFileSync(idsFile, 'utf8')) as KnownIds)[pair.registryUrl] ?? {};
    expect(noted[String(ids['receipts.ReceiptRecorded'])]).to.deep.equal({
      subject: 'receipts.ReceiptRecorded',
      version: released()['receipts.ReceiptRecorded']?.length,
    });
    expect((await run('diff')).stdout).to.match(/^http.* has all \d+ schemas\n$/);
    expect((await run('publish')).code).to.equal(0);
  });

  it('say that the registry does not answer', async () => {
    const schemas = wireSchemas({ url: 'http://127.0.0.1:9', known: {} });
    const world: Partial<World> = { registry: async () => ({ url: 'http://127.0.0.1:9', schemas, idsFile }) };
    const { code, stderr } = await runIn(await memoryLedger(), ['schemas', 'diff'], world);
    expect(code).to.equal(3);
    expect(stderr).to.match(/the registry does not answer/);
  });
});
