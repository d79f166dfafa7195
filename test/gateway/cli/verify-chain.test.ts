import { expect } from 'chai';
import { receipts } from '#commands/receipts.ts';
import { runCommand } from '#commands/run.ts';
import { verifyTenant } from '#gateway/cli/verify-chain.ts';
import { seal } from '#proofs/chain.ts';
import type { Recorded } from '#schemas/event.ts';
import type { Instant, Seq } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';
import { ACME, memoryLedger, type OpenMemoryLedger } from '#test/support/memory-ledger.ts';
import { testSigner } from '#test/support/test-signer.ts';

/** The tenant's creation, and twelve receipts in batches of one to five. */
const ledgerOfReceipts = async (): Promise<OpenMemoryLedger> => {
  const ledger = await memoryLedger();
  const at = Date.UTC(2026, 10, 21, 9) as Instant;
  for (const ids of [['a', 'b', 'c', 'd', 'e'], ['f'], ['g', 'h', 'i', 'j'], ['k', 'l']]) {
    const results = ids.map((id) => {
      const receipt = {
        id,
        action: 'x',
        actor: 'alice',
        decision: 'allow',
        tenant: ACME,
        created_at: '2026-11-21T09:00:00Z',
      };
      return runCommand(
        { store: ledger.store, decider: receipts },
        { type: 'RecordReceipt', receipt, schemaVersion: 3 },
        { tenant: ACME, actor: 'alice', at, key: id },
      );
    });
    for (const result of await Promise.all(results)) expect(result.kind).to.equal('recorded');
  }
  return ledger;
};

/** The store as it would be if its facts were others. */
const withFacts = (store: StreamStore, edit: (facts: Recorded[]) => Recorded[]): StreamStore => ({
  ...store,
  read: async function* (tenant, { from = 1 as Seq, to } = {}) {
    const all: Recorded[] = [];
    for await (const page of store.read(tenant)) all.push(...page);
    yield edit(all).filter(({ seq }) => seq >= from && (to === undefined || seq <= to));
  },
});

describe('gateway/cli verifyTenant', () => {
  let ledger: OpenMemoryLedger;
  before(async () => {
    ledger = await ledgerOfReceipts();
  });

  it('verifies the chain and each signature once', async () => {
    expect(await verifyTenant(ledger.store, ACME, { keys: ledger.keys })).to.deep.include({
      facts: 13,
      batches: 5,
    });
  });

  it('verifies every range', async () => {
    for (let from = 1; from <= 13; from += 1) {
      for (let to = from; to <= 13; to += 1) {
        const { fault, facts } = await verifyTenant(ledger.store, ACME, {
          keys: ledger.keys,
          from: from as Seq,
          to: to as Seq,
        });
        expect({ fault, facts }, `${from} to ${to}`).to.deep.equal({
          fault: undefined,
          facts: to - from + 1,
        });
      }
    }
  });

  const codeOf = async (
    edit: (facts: Recorded[]) => Recorded[],
    keys = ledger.keys,
  ): Promise<string | undefined> =>
    (await verifyTenant(withFacts(ledger.store, edit), ACME, { keys })).fault?.code;

  it('finds a changed, missing or truncated fact', async () => {
    expect(
      await codeOf((facts) =>
        facts.map((fact) =>
          fact.seq === 9 ? { ...fact, payload: fact.payload.replace('allow', 'denie') } : fact,
        ),
      ),
    ).to.equal('hash-mismatch');
    expect(await codeOf((facts) => facts.filter(({ seq }) => seq !== 9))).to.equal('seq-gap');
    expect(await codeOf((facts) => facts.slice(0, 11))).to.equal('no-such-fact');
    expect(await codeOf((facts) => facts)).to.equal(undefined);
  });

  it('finds a chain that was written anew from one fact on: it links, but nobody signed it', async () => {
    const rewritten = (facts: Recorded[]): Recorded[] => {
      const anew: Recorded[] = [];
      for (const fact of facts) {
        const payload = fact.seq === 8 ? fact.payload.replace('allow', 'deny') : fact.payload;
        anew.push(seal({ ...fact, payload }, { ...fact, prevHash: anew.at(-1)?.hash ?? fact.prevHash }));
      }
      return anew;
    };
    expect(await codeOf(rewritten)).to.be.oneOf(['not-included', 'bad-signature']);
  });

  it('trusts only the keys it is given', async () => {
    expect(await codeOf((facts) => facts, testSigner().keys)).to.equal('unknown-key');
    expect(await codeOf((facts) => facts, [])).to.equal('unknown-key');
  });
});
