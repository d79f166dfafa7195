import { expect } from 'chai';
import { ACME, memoryLedger } from '#test/support/memory-ledger.ts';
import { runIn } from './world.ts';

describe('prov-ledger attest policy', () => {
  it('is what the drift saga begins with, until somebody changes it by name', async () => {
    const ledger = await memoryLedger();
    const policy = async (verb: string, ...argv: readonly string[]) =>
      await runIn(ledger, ['attest', 'policy', verb, 'receipts', '--tenant', 'acme', ...argv]);
    const shown = async () => JSON.parse((await policy('show', '--json')).stdout) as object;
    expect(await shown()).to.deep.equal({
      tenant: 'acme',
      route: 'receipts',
      divergentMin: 1,
      alarmAfter: 1,
      cleanAfter: 2,
    });
    expect((await policy('show')).stdout).to.match(/changed +never/);
    const by = ['--by', 'Ada, on call'];
    expect(await policy('set', '--alarm-after', '2', ...by)).to.include({ code: 0 });
    expect(await policy('set', '--divergent-min', '5', ...by)).to.include({ code: 0 });
    expect(await shown()).to.include({
      divergentMin: 5,
      alarmAfter: 2,
      cleanAfter: 2,
      changedBy: 'Ada, on call',
    });
    const facts = await ledger.store.readStream(ACME, 'attestations-receipts' as never);
    expect(facts.map(({ type }) => type)).to.deep.equal([
      'attestations.DriftPolicyChanged',
      'attestations.DriftPolicyChanged',
    ]);
  });

  it('says what it needs', async () => {
    const ledger = await memoryLedger();
    const set = (...argv: readonly string[]) => runIn(ledger, ['attest', 'policy', 'set', ...argv]);
    const nobody = await set('receipts', '--tenant', 'acme', '--alarm-after', '2');
    expect(nobody.stderr).to.include('--by <name>');
    const zero = await set('receipts', '--tenant', 'acme', '--by', 'Ada', '--clean-after', '0');
    expect(zero.stderr).to.include('use a whole number from 1 to 1000');
    const route = await set('nope', '--tenant', 'acme', '--by', 'Ada');
    expect(route.stderr).to.include('the mapper catalog has no route nope; it has receipts');
    expect([nobody.code, zero.code, route.code]).to.deep.equal([2, 2, 2]);
  });
});
