import { expect } from 'chai';
import { acme, append, draft, openTenants } from '#test/contracts/ledger-adapter.ts';
import { streamStoreContract } from '#test/contracts/stream-store.contract.ts';
import { openPostgres, postgres } from './postgres-adapter.ts';

streamStoreContract(postgres);

describe('an answer of the Postgres store', () => {
  it('has no getter of its own: each such object would live, with its whole batch, until old memory is collected', async () => {
    await using ledger = await openPostgres();
    await openTenants(ledger.store, acme);
    const answer = await append(ledger.store, acme, draft(), draft());
    if (answer.kind !== 'appended') throw new Error(answer.kind);
    for (const appended of answer.facts) {
      expect(appended.proof.batchFactCount).to.equal(2);
      const own = Object.values(Object.getOwnPropertyDescriptors(appended));
      expect(own.map(({ get }) => get)).to.deep.equal([undefined]);
    }
  });
});
