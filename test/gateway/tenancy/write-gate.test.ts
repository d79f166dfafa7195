import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { type GateCommand, gates } from '#commands/gates.ts';
import { receipts } from '#commands/receipts.ts';
import { draftsOf, runCommand } from '#commands/run.ts';
import { assertOpen, throughGates, WritePathClosed } from '#gateway/tenancy/write-gate.ts';
import type { Instant } from '#schemas/ids.ts';
import type { AppendRequest } from '#streams/stream.ts';
import { ACME, memoryLedger } from '#test/support/memory-ledger.ts';

const context = () => ({ tenant: ACME, actor: 'test', at: 0 as Instant, key: randomUUID() });

const receiptAppend = (): AppendRequest => {
  const asked = context();
  const receipt = {
    id: asked.key,
    tenant: 'acme',
    actor: 'bob',
    action: 'db.export',
    decision: 'allow',
    created_at: '2026-11-03T10:30:00Z',
  };
  const decision = receipts.decide({ type: 'RecordReceipt', receipt, schemaVersion: 3 }, undefined, asked);
  if (decision.kind === 'refused') throw new Error(decision.refusal.message);
  return { tenant: ACME, drafts: draftsOf(decision.events, asked), expect: { kind: 'any' } };
};

describe('gateway/tenancy: the write gate', () => {
  const open = async () => {
    const { store } = await memoryLedger();
    let now = 0;
    const move = async (command: GateCommand) => {
      const outcome = await runCommand({ store, decider: gates }, command, context());
      expect(outcome.kind).to.equal('recorded');
    };
    return {
      store,
      gated: throughGates(store, () => now),
      later: (ms: number) => {
        now += ms;
      },
      close: () => move({ type: 'RollBackWritePath', route: 'receipts', reason: 'it drifts' }),
      restore: () =>
        move({ type: 'RestoreWritePath', route: 'receipts', grounds: 'ordered', reason: 'it does not' }),
    };
  };
  const refused = async (work: Promise<unknown>): Promise<WritePathClosed> => {
    const error = await work.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).to.be.instanceOf(WritePathClosed);
    return error as WritePathClosed;
  };

  it('what is closed takes nothing, and says since when and why', async () => {
    const { gated, store, close, restore, later } = await open();
    await close();
    const error = await refused(gated.append(receiptAppend()));
    expect(error).to.include({ route: 'receipts', epoch: 1 });
    expect(error.message).to.equal('the write path of receipts is closed since epoch 1: it drifts');
    await refused(assertOpen(store, ACME, 'receipts'));
    await restore();
    later(1_000);
    expect(await gated.append(receiptAppend())).to.have.property('kind', 'appended');
    await assertOpen(store, ACME, 'receipts');
  });

  it('a late writer, who knows the gate as open, is refused by the epoch and not by the clock', async () => {
    const { gated, close, restore } = await open();
    await close();
    await restore();
    expect(await gated.append(receiptAppend())).to.have.property('kind', 'appended');
    await close();
    // No time has passed: what is kept says that it is open.
    expect(await refused(gated.append(receiptAppend()))).to.include({ epoch: 3 });
    expect(await refused(gated.append(receiptAppend()))).to.include({ epoch: 3 });
  });

  it('the first closing is in force after a second at most', async () => {
    const { gated, close, later } = await open();
    expect(await gated.append(receiptAppend())).to.have.property('kind', 'appended');
    await close();
    later(1_000);
    await refused(gated.append(receiptAppend()));
  });

  it('what is no receipt goes past it: the facts that lead out of it do', async () => {
    const { gated, close } = await open();
    await close();
    const outcome = await runCommand(
      { store: gated, decider: gates },
      { type: 'RestoreWritePath', route: 'receipts', grounds: 'ordered', reason: 'it does not' },
      context(),
    );
    expect(outcome.kind).to.equal('recorded');
  });
});
