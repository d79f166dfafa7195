import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { attestations } from '#commands/attestations.ts';
import { runCommand } from '#commands/run.ts';
import type { Instant } from '#schemas/ids.ts';
import { ACME, memoryLedger } from '#test/support/memory-ledger.ts';
import { runIn } from './world.ts';

const RECEIPT = JSON.stringify({
  actor: 'alice',
  action: 'db.export',
  decision: 'allow',
  policy_version: '1',
  inputs: {},
});

describe('prov-ledger gates and sagas', () => {
  const by = ['--by', 'Ada, on call', '--reason', 'see ticket 4711'];

  it('a person closes a write path and opens it again, by name and with a reason', async () => {
    const ledger = await memoryLedger();
    const gates = (...argv: readonly string[]) =>
      runIn(ledger, ['gates', ...argv, 'receipts', '--tenant', 'acme']);
    expect((await gates('show')).stdout).to.equal('the write path of receipts is open, at epoch 0\n');
    expect(await gates('close', ...by)).to.include({ code: 0 });
    expect((await gates('show')).stdout).to.match(/closed since epoch 1: see ticket 4711\n.*drift\.md/);
    const ingest = await runIn(ledger, ['ingest', '-', '--tenant', 'acme', '--quiet'], {
      input: `${RECEIPT}\n`,
    });
    expect(ingest.code).to.equal(1);
    expect(ingest.stderr).to.match(/the write path of receipts is closed since epoch 1/);
    expect(await gates('close', ...by)).to.include({ code: 1 });
    expect(await gates('restore', ...by)).to.include({ code: 0 });
    const again = await gates('restore', ...by);
    expect(again).to.include({ code: 1, stdout: '' });
    expect(again.stderr).to.equal('prov-ledger: the write path of receipts is open\n');
    const moved = (await ledger.store.readStream(ACME, 'gates-receipts' as never)).map(({ actor }) => actor);
    expect(moved).to.deep.equal(['Ada, on call', 'Ada, on call']);
  });

  it('a move without a name or a reason is none', async () => {
    const ledger = await memoryLedger();
    expect(await runIn(ledger, ['gates', 'close', 'receipts', '--tenant', 'acme'])).to.include({ code: 2 });
    const argv = ['gates', 'close', 'receipts', '--tenant', 'acme', '--by', 'Ada', '--reason', ''];
    const { code, stderr } = await runIn(ledger, argv);
    expect(code).to.equal(2);
    expect(stderr).to.match(/\/reason/);
  });

  it('sagas list names what each looks at; trace tells why, fact by fact', async () => {
    const ledger = await memoryLedger();
    expect((await runIn(ledger, ['sagas', 'list'])).stdout).to.match(
      /^drift v1 .*\n {2}on attestations\.AttestationRecorded/,
    );
    const side = (store: string, digit: string) => ({ store, seq: 1, root: digit.repeat(64) });
    await runCommand(
      { store: ledger.store, decider: attestations },
      {
        type: 'RecordAttestation',
        route: 'receipts',
        left: side('postgres', 'a'),
        right: side('neo4j', 'b'),
        elements: 1,
        divergent: 1,
      },
      { tenant: ACME, actor: 'attester', at: 0 as Instant, key: randomUUID() },
    );
    const trace = ['sagas', 'trace', 'receipts', '--tenant', 'acme'];
    const { stdout } = await runIn(ledger, trace);
    expect(stdout).to.match(/^2 {2}\S+ {2}attestations\.AttestationRecorded by attester\n/);
    expect(stdout).to.match(/\n {2}standing: "watching" -> "crossed"\n/);
    expect(stdout).to.match(/\n {2}-> RaiseDriftAlarm, not recorded/);
    const json = await runIn(ledger, [...trace, '--json']);
    expect(JSON.parse(json.stdout)).to.have.nested.property('reactions[0].reaction.domain', 'attestations');
    const unknown = await runIn(ledger, ['sagas', 'trace', 'orders', '--tenant', 'acme']);
    expect(unknown).to.include({ code: 1 });
  });
});
