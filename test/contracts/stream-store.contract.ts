// The contract of the port StreamStore: every adapter runs it as its first test.
import type { LedgerAdapter } from './ledger-adapter.ts';
import { appendContract } from './stream-store-append.contract.ts';
import { claimsContract } from './stream-store-claims.contract.ts';
import { fieldsContract } from './stream-store-fields.contract.ts';
import { raceContract } from './stream-store-race.contract.ts';
import { readContract } from './stream-store-read.contract.ts';

export const streamStoreContract = (adapter: LedgerAdapter): void => {
  describe(`StreamStore: ${adapter.name}`, () => {
    appendContract(adapter);
    claimsContract(adapter);
    fieldsContract(adapter);
    readContract(adapter);
    raceContract(adapter);
  });
};
