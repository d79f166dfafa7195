import { expect } from 'chai';
import { ACME, memoryLedger } from '#test/support/memory-ledger.ts';
import { runIn } from './world.ts';

describe('prov-ledger flags', () => {
  const by = ['--by', 'Ada, on call', '--reason', 'see ticket 4711'];

  it('a person sets a flag, freezes it and ends the freeze, by name and with a reason', async () => {
    const ledger = await memoryLedger();
    const flags = (...argv: readonly string[]) => runIn(ledger, ['flags', ...argv, '--tenant', 'acme']);
    expect(await flags('show', 'new-checkout')).to.include({ code: 1 });
    expect((await flags('set', 'new-checkout', '--pct', '10', ...by)).stdout).to.equal(
      'new-checkout is at 10 %\n',
    );
    expect(await flags('freeze', 'new-checkout', ...by)).to.include({ code: 0 });
    expect((await flags('show', 'new-checkout')).stdout).to.match(/at 10 %\nfrozen: ordered\n/);
    const more = await flags('set', 'new-checkout', '--pct', '20', ...by, '--json');
    expect(more.code).to.equal(1);
    expect(JSON.parse(more.stdout)).to.have.nested.property('error.code', 'flag-frozen');
    expect(await flags('acknowledge', 'new-checkout', ...by)).to.include({ code: 0 });
    expect(await flags('set', 'new-checkout', '--pct', '20', ...by)).to.include({ code: 0 });
    expect(await flags('retire', 'new-checkout', ...by)).to.include({ code: 0 });
    expect((await flags('show', 'new-checkout')).stdout).to.equal('new-checkout was retired\n');
    const facts = await ledger.store.readStream(ACME, 'flags-new-checkout' as never);
    expect(new Set(facts.map(({ actor }) => actor))).to.deep.equal(new Set(['Ada, on call']));
  });

  it('a move without a name, a reason or a share is none', async () => {
    const ledger = await memoryLedger();
    const set = ['flags', 'set', 'new-checkout', '--tenant', 'acme'];
    expect(await runIn(ledger, [...set, '--pct', '10'])).to.include({ code: 2 });
    for (const pct of ['101', '-1', '0.5', 'all']) {
      const { code, stderr } = await runIn(ledger, [...set, ...by, `--pct=${pct}`]);
      expect(code, pct).to.equal(2);
      expect(stderr).to.match(/use a whole number from 0 to 100/);
    }
    const spaced = ['flags', 'set', 'two words', '--pct', '1', '--tenant', 'acme', ...by];
    expect(await runIn(ledger, spaced)).to.include({ code: 2 });
  });

  it('bucket says from which share on a subject has the feature', async () => {
    const ledger = await memoryLedger();
    const argv = ['flags', 'bucket', 'new-checkout', 'user-4711', '--tenant', 'acme'];
    expect((await runIn(ledger, argv)).stdout).to.equal('bucket 3,489 of 10,000: has it from 35 % on\n');
  });
});
