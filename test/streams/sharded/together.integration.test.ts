// Messages into a ledger on two databases: what a partition brings is of tenants of both, and each is taken once, whoever
// moves meanwhile and whatever fails in between.
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { type GateCommand, gates } from '#commands/gates.ts';
import { runCommand } from '#commands/run.ts';
import type { WiredLedger } from '#deploy/processes/ledger/wire.ts';
import { conflictRecord } from '#gateway/kafka/records.ts';
import { messageGates } from '#gateway/tenancy/write-gate.ts';
import { type Instant, type TenantId, tenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import type { Together } from '#streams/postgres/together.ts';
import { readPartitions } from '#streams/postgres/transport/flow.ts';
import { type Intake, postgresIntake } from '#streams/postgres/transport/intake.ts';
import { listLetters } from '#streams/postgres/transport/letters.ts';
import type { Message } from '#streams/postgres/transport/message.ts';
import { replayLetter, type SettleOptions } from '#streams/postgres/transport/settle.ts';
import { replayWaiting } from '#streams/postgres/transport/waiting.ts';
import { expectLedgerSound } from '#test/support/ledger-sound.ts';
import { type ShardedLedger, shardedLedger } from '#test/support/sharded-ledger.ts';
import { aReceipt, createTenant, messageAt, receiptValue } from '#test/support/transport.ts';
import { pieceOf, place, read } from '../postgres/transport/taking.ts';

const acme = tenantId('acme');
const globex = tenantId('globex');
const message = (offset: number, tenant: TenantId, id = `r-${offset}`): Message =>
  messageAt(offset, { key: Buffer.from(tenant), value: receiptValue(aReceipt({ id, tenant })) });

const settlingOn = ({ pool, store }: WiredLedger, together: Together): SettleOptions => ({
  pool,
  together,
  read,
  gates: messageGates(store),
  noteConflict: conflictRecord,
});

const intakeOn = (ledger: WiredLedger, together = ledger.together()): Intake =>
  postgresIntake(settlingOn(ledger, together));

/** Takes one piece from where the store stands. */
const take = async (intake: Intake, messages: readonly Message[]) => {
  const position = await intake.open(place, 0);
  const piece = await pieceOf(
    position,
    messages.filter(({ offset }) => offset >= position.next),
  );
  const [outcome] = await intake.commit([piece]);
  return outcome;
};

/** As the consumer does it: what does not go in now is tried again from where the store stands. */
const takeSurely = async (intake: Intake, messages: readonly Message[]): Promise<void> => {
  for (const deadline = Date.now() + 60_000; ; await pause(20)) {
    try {
      if ((await take(intake, messages))?.kind === 'stored') return;
    } catch (error) {
      if (!(error instanceof StreamError) || Date.now() > deadline) throw error;
    }
  }
};

const receiptIds = async ({ store }: WiredLedger, tenant: TenantId): Promise<readonly string[]> => {
  const facts = (await Array.fromAsync(store.read(tenant))).flat();
  return facts
    .filter(({ type }) => type === 'receipts.ReceiptRecorded')
    .map(({ payload }) => (JSON.parse(payload) as { id: string }).id);
};

const flow = async ({ pool }: WiredLedger) => {
  const [{ received, accepted, duplicate, conflict, dead_lettered, held, missing } = {} as never] =
    await readPartitions(pool);
  return { received, accepted, duplicate, conflict, dead_lettered, held, missing };
};

describe('streams/sharded/together: messages', function () {
  this.timeout(120_000);
  let sharded: ShardedLedger;
  let ledger: WiredLedger;
  beforeEach(async () => {
    sharded = await shardedLedger([acme, globex], [globex]);
    ({ ledger } = sharded);
  });
  afterEach(() => sharded[Symbol.asyncDispose]());

  it('of tenants of both databases are taken each where its tenant is, and counted at one place', async () => {
    const mixed = Array.from({ length: 12 }, (_, offset) =>
      message(offset, offset % 3 === 0 ? globex : acme),
    );
    const again = message(12, globex, 'r-0');
    const other = messageAt(13, {
      key: Buffer.from(globex),
      value: receiptValue(aReceipt({ id: 'r-3', tenant: globex, decision: 'deny' })),
    });
    const unknown = message(14, tenantId('initech'));
    await takeSurely(intakeOn(ledger), [...mixed, again, other, unknown]);
    expect(await receiptIds(ledger, globex)).to.deep.equal(['r-0', 'r-3', 'r-6', 'r-9']);
    expect(await receiptIds(ledger, acme)).to.have.length(8);
    const globexTypes = (await Array.fromAsync(ledger.store.read(globex))).flat().map(({ type }) => type);
    expect(globexTypes).to.include('messages.MessageConflicted');
    expect(await flow(ledger)).to.deep.equal({
      received: 15,
      accepted: 12,
      duplicate: 1,
      conflict: 1,
      dead_lettered: 1,
      held: 0,
      missing: 0,
    });
    await expectLedgerSound({ store: ledger.store, keys: sharded.keys });
  });

  it('a letter is taken where its tenant is once that is there', async () => {
    const initech = tenantId('initech');
    await takeSurely(intakeOn(ledger), [message(0, initech), message(1, initech)]);
    await createTenant(ledger.store, initech);
    await sharded.move(initech, 'east');
    const [dead] = await listLetters(ledger.pool, { limit: 10 });
    const settled = await replayLetter(settlingOn(ledger, ledger.together()), dead?.letter ?? 0);
    expect(settled).to.deep.equal({ kind: 'done', accepted: 2, duplicate: 0, conflict: 0 });
    expect(await receiptIds(ledger, initech)).to.deep.equal(['r-0', 'r-1']);
    expect(await flow(ledger)).to.include({ received: 2, accepted: 2, missing: 0 });
  });

  it('a closed gate holds the messages of a tenant that is elsewhere until it opens', async () => {
    const move = async (command: GateCommand) => {
      const outcome = await runCommand({ store: ledger.store, decider: gates }, command, {
        tenant: globex,
        actor: 'test',
        at: Date.now() as Instant,
        key: command.type,
      });
      expect(outcome.kind).to.equal('recorded');
    };
    const intake = intakeOn(ledger);
    await takeSurely(intake, [message(0, globex)]);
    await move({ type: 'RollBackWritePath', route: 'receipts', reason: 'it drifts' });
    await takeSurely(intake, [message(1, globex), message(2, acme)]);
    expect(await flow(ledger)).to.include({ received: 3, accepted: 2, held: 1 });
    await move({ type: 'RestoreWritePath', route: 'receipts', grounds: 'ordered', reason: 'it does not' });
    expect(await replayWaiting(settlingOn(ledger, ledger.together()))).to.equal(1);
    expect(await receiptIds(ledger, globex)).to.deep.equal(['r-0', 'r-1']);
    expect(await flow(ledger)).to.include({ received: 3, accepted: 3, held: 0, missing: 0 });
  });

  it('fails at home after the others have stored: nothing is lost, nothing comes twice', async () => {
    const mixed = Array.from({ length: 6 }, (_, offset) => message(offset, offset % 2 === 0 ? globex : acme));
    let failures = 1;
    const together = ledger.together();
    const failing: Together = {
      ...together,
      commit: (work) =>
        together.commit({
          ...work,
          after: async (client, fates) => {
            await work.after(client, fates);
            if (failures-- > 0) throw new StreamError('unavailable', 'the process dies here');
          },
        }),
    };
    const died = await take(intakeOn(ledger, failing), mixed).catch((error: unknown) => error);
    expect(died).to.have.property('code', 'unavailable');
    expect(await receiptIds(ledger, globex)).to.have.length(3);
    expect(await receiptIds(ledger, acme)).to.have.length(0);
    await takeSurely(intakeOn(ledger, (await sharded.another()).together()), mixed);
    expect(await receiptIds(ledger, globex)).to.deep.equal(['r-0', 'r-2', 'r-4']);
    expect(await receiptIds(ledger, acme)).to.deep.equal(['r-1', 'r-3', 'r-5']);
    expect(await flow(ledger)).to.deep.include({ received: 6, missing: 0, dead_lettered: 0, conflict: 0 });
  });

  it('a consumer that lost its partition stores nothing, elsewhere either', async () => {
    const slow = intakeOn(ledger);
    const found = await slow.open(place, 0);
    await takeSurely(intakeOn(await sharded.another()), [message(0, acme)]);
    const late = { ...(await pieceOf(found, [message(1, globex)])), next: 2 };
    expect(await slow.commit([late])).to.deep.equal([{ kind: 'fenced' }]);
    expect(await receiptIds(ledger, globex)).to.deep.equal([]);
  });

  it('a tenant moves there and back while its messages come in: 0 lost, 0 doubled, in their order', async () => {
    const intake = intakeOn(ledger);
    let offset = 0;
    let moving = true;
    const consuming = (async () => {
      while (moving) {
        const piece = Array.from({ length: 10 }, () => message(offset++, offset % 2 === 0 ? globex : acme));
        await takeSurely(intake, piece);
      }
    })();
    for (const [tenant, to] of [
      [acme, 'east'],
      [globex, 'home'],
      [acme, 'home'],
    ] as const) {
      const before = offset;
      for (const deadline = Date.now() + 30_000; offset < before + 40 && Date.now() < deadline; )
        await pause(5);
      await sharded.move(tenant, to);
    }
    moving = false;
    await consuming;
    const offsetsOf = async (tenant: TenantId) =>
      (await receiptIds(ledger, tenant)).map((id) => Number(id.slice(2)));
    const all = [...(await offsetsOf(acme)), ...(await offsetsOf(globex))].sort((a, b) => a - b);
    expect(all).to.deep.equal(Array.from({ length: offset }, (_, at) => at));
    for (const tenant of [acme, globex]) {
      const taken = await offsetsOf(tenant);
      expect(taken).to.deep.equal([...taken].sort((a, b) => a - b));
    }
    expect(await flow(ledger)).to.include({ received: offset, dead_lettered: 0, conflict: 0, missing: 0 });
    await expectLedgerSound({ store: ledger.store, keys: sharded.keys });
  });
});
