import { expect } from 'chai';
import { OPERATORS } from '#commands/tenants.ts';
import { OPERATOR_SCOPES, parseToken } from '#gateway/http/tokens.ts';
import { tenantState } from '#gateway/tenancy/documents.ts';
import { memoryLedger } from '#test/support/memory-ledger.ts';
import { runIn } from './world.ts';

describe('gateway/cli: operator create', () => {
  it('makes the tenant of the operators once, and each time a token that is recorded by its hash', async () => {
    const ledger = await memoryLedger();
    const first = await runIn(ledger, ['operator', 'create', '--label', 'Ada']);
    expect(first.code, first.stderr).to.equal(0);
    const second = await runIn(ledger, ['operator', 'create', '--label', 'Bo', '--json']);
    const { token, scopes } = JSON.parse(second.stdout) as { token: string; scopes: string[] };
    expect(scopes).to.deep.equal([...OPERATOR_SCOPES]);
    const { tokens } = await tenantState(ledger.store, OPERATORS);
    const known = [first.stdout.trim(), token].map((each) => {
      const parsed = parseToken(each);
      expect(parsed?.tenant).to.equal(OPERATORS);
      const found = tokens.get(String(parsed?.tokenId));
      expect(found?.tokenHash).to.equal(parsed?.secretHash);
      return found?.label;
    });
    expect(known).to.deep.equal(['Ada', 'Bo']);
    expect((await ledger.store.head(OPERATORS))?.seq).to.equal(3);
  });

  it('asks whose token it is', async () => {
    const { code, stderr } = await runIn(await memoryLedger(), ['operator', 'create']);
    expect(code).to.equal(2);
    expect(stderr).to.match(/required option '--label/);
  });

  it('is of the tenant of the operators: no other is given these scopes', async () => {
    const ledger = await memoryLedger();
    await runIn(ledger, ['tenant', 'create', 'acme']);
    for (const scope of OPERATOR_SCOPES) {
      const { code, stderr } = await runIn(ledger, ['token', 'create', 'acme', '--scope', scope]);
      expect(code).to.equal(2);
      expect(stderr).to.contain(`${scope} is not a scope of acme`);
    }
    const usual = await runIn(ledger, ['token', 'create', 'acme', '--json']);
    expect((JSON.parse(usual.stdout) as { scopes: string[] }).scopes).to.not.include.members([
      OPERATOR_SCOPES[0],
    ]);
  });
});
