import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { closedWhileLost, keepHeads } from '#deploy/processes/keepers/heads-keeper.ts';
import { CliError } from '#gateway/cli/exit.ts';
import { readHeads, signHeads } from '#proofs/heads.ts';
import { jwks } from '#proofs/keys/public-key.ts';
import type { Instant, Seq } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import { memoryLedger } from '#streams/memory/ledger.ts';
import type { StreamStore } from '#streams/stream.ts';
import { acme, append, drafts, openTenants } from '#test/contracts/ledger-adapter.ts';
import { testSigner } from '#test/support/test-signer.ts';

describe('deploy/processes/heads-keeper', () => {
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-keeper-'));
  after(() => rmSync(folder, { recursive: true }));
  const { signer, keys } = testSigner();
  let file: string;
  let count = 0;
  let store: StreamStore;
  let lines: string[];
  beforeEach(async () => {
    count += 1;
    file = join(folder, `heads-${count}.json`);
    lines = [];
    ({ store } = memoryLedger({ signer }));
    await openTenants(store, acme);
    await append(store, acme, ...drafts(3));
  });
  const keep = (everyMs = 600_000) =>
    keepHeads({
      file,
      store,
      signer,
      jwks: () => jwks(keys),
      log: (level, message) => lines.push(`${level}: ${message}`),
      everyMs,
    });
  const keptSeq = (): number => {
    const read = readHeads(readFileSync(file, 'utf8'), keys);
    return read.ok ? (read.statement.heads[0]?.seq ?? 0) : -1;
  };
  const keepMoreThanThereIs = async (): Promise<void> => {
    const head = await store.head(acme);
    const statement = {
      ledgerId: store.ledgerId,
      madeAt: 0 as Instant,
      heads: [{ ...head, seq: 50 as Seq }],
    };
    writeFileSync(file, JSON.stringify(await signHeads(signer, statement as never)));
  };

  it('makes the file, and has the last heads in it when it ends', async () => {
    const keeper = await keep();
    expect(keptSeq()).to.equal(4);
    await append(store, acme, ...drafts(2));
    await keeper[Symbol.asyncDispose]();
    expect(keptSeq()).to.equal(6);
    expect(keeper.lost()).to.deep.equal([]);
    expect(keeper.checkedAt()).to.be.closeTo(Date.now() / 1000, 60);
  });

  it('goes on keeping them while it runs', async () => {
    await using _ = await keep(5);
    await append(store, acme, ...drafts(2));
    for (let look = 0; look < 400 && keptSeq() !== 6; look += 1) await pause(10);
    expect(keptSeq()).to.equal(6);
  });

  it('names what was lost, takes nothing in, and leaves the evidence as it is', async () => {
    await keepMoreThanThereIs();
    await using keeper = await keep();
    expect(keeper.lost().map(({ tenant, loss }) => [tenant, loss])).to.deep.equal([[acme, 'rolled-back']]);
    expect(lines).to.deep.equal([
      'error: the ledger lacks facts that it had: nothing is taken in',
      'error: acme: rolled back to fact 4; it had 50 facts',
    ]);
    const closed = closedWhileLost(store, keeper);
    const refused = await append(closed, acme, ...drafts(1)).catch((error: unknown) => error);
    expect(refused).to.be.instanceOf(StreamError).and.have.property('code', 'unavailable');
    expect((await closed.head(acme))?.seq).to.equal(4);
    expect(keptSeq()).to.equal(50);
  });

  it('takes in again when the loss was accepted, without a restart', async () => {
    await keepMoreThanThereIs();
    await using keeper = await keep(5);
    expect(keeper.lost()).to.have.length(1);
    rmSync(file);
    for (let look = 0; look < 400 && keeper.lost().length > 0; look += 1) await pause(10);
    const closed = closedWhileLost(store, keeper);
    expect(await append(closed, acme, ...drafts(1))).to.have.property('kind', 'appended');
  });

  it('does not start on a file that it cannot believe, and does not put another in its place', async () => {
    for (const text of ['', '{}', JSON.stringify(await signHeads(testSigner().signer, EMPTY))]) {
      writeFileSync(file, text);
      expect(await keep().catch((error: unknown) => error), text).to.be.instanceOf(CliError);
      expect(readFileSync(file, 'utf8')).to.equal(text);
    }
  });

  it('says so when the file cannot be written', async () => {
    file = join(folder, 'no-such-folder', 'heads.json');
    const failed = await keep().catch((error: unknown) => error);
    expect(failed).to.be.instanceOf(CliError).and.have.property('code', 'heads-file');
    expect(existsSync(file)).to.equal(false);
  });
});

const EMPTY = { ledgerId: '0b9ad1a8-6f44-4f6e-9a5e-0d7a1f3c2b1d', madeAt: 0 as Instant, heads: [] };
