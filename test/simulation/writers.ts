// Two services that record receipts, each through a write gate of its own, and each of which may sleep between looking at
// the gate and writing.
import { expect } from 'chai';
import { receipts } from '#commands/receipts.ts';
import { runCommand } from '#commands/run.ts';
import { throughGates, WritePathClosed } from '#gateway/tenancy/write-gate.ts';
import type { Chance } from '#schemas/fixture.ts';
import { type Instant, instantText } from '#schemas/ids.ts';
import type { JsonObject } from '#schemas/receipts.ts';
import type { StreamStore } from '#streams/stream.ts';
import { ACME } from '#test/support/memory-ledger.ts';

export interface Writers {
  /** Some receipts, one after the other; comes back at once where a writer falls asleep. */
  readonly write: () => Promise<void>;
  /** Wakes all that sleep, and waits for them. */
  readonly wake: () => Promise<void>;
  /** Of each receipt: what the ledger held when whoever asked for it could have looked at the gate first. */
  readonly asked: ReadonlyMap<string, number>;
  /** Those that were confirmed to whoever asked. */
  readonly confirmed: ReadonlySet<string>;
}

export interface WritersOptions {
  readonly store: StreamStore;
  readonly chance: Chance;
  readonly clock: () => Instant;
  /** In the place of the write gate. */
  readonly gates: ((store: StreamStore) => StreamStore) | undefined;
}

/** By the clock of the services: what they know of a gate is kept for one write or two, and never until the next step. */
const BETWEEN_WRITES_MS = 400;
const BETWEEN_STEPS_MS = 2_000;

export const openWriters = ({ store, chance, clock, gates }: WritersOptions): Writers => {
  const asked = new Map<string, number>();
  const receiptsById = new Map<string, JsonObject>();
  const confirmed = new Set<string>();
  let steady = 0;
  let bell = Promise.withResolvers<void>();
  /** The next append sleeps first, and says so. */
  let doze: (() => void) | undefined;
  let under: Promise<void>[] = [];
  const drowsy: StreamStore = {
    ...store,
    append: async (request) => {
      const dozes = doze;
      doze = undefined;
      if (dozes) {
        dozes();
        await bell.promise;
      }
      return await store.append(request);
    },
  };
  const open = gates ?? ((behind) => throughGates(behind, () => steady));
  const services = [open(drowsy), open(drowsy)];
  const writeOne = async (service: StreamStore, since: number): Promise<void> => {
    const known = [...receiptsById];
    // Sometimes the same request comes again.
    const [id, receipt] =
      known.length > 0 && chance.perMille(100) ? chance.pick(known) : someReceipt(chance, clock());
    if (!asked.has(id)) asked.set(id, since);
    receiptsById.set(id, receipt);
    if (await isRecorded(service, receipt, clock())) confirmed.add(id);
  };
  return {
    asked,
    confirmed,
    write: async () => {
      steady += BETWEEN_STEPS_MS;
      const since = (await store.head(ACME))?.seq ?? 0;
      for (let left = 1 + chance.int(4); left > 0; left -= 1) {
        steady += BETWEEN_WRITES_MS;
        const dozing = Promise.withResolvers<void>();
        doze = chance.perMille(150) ? dozing.resolve : undefined;
        const writing = writeOne(chance.pick(services), since);
        under.push(writing);
        await Promise.race([writing, dozing.promise]);
        doze = undefined;
      }
    },
    wake: async () => {
      bell.resolve();
      bell = Promise.withResolvers();
      await Promise.all(under);
      under = [];
    },
  };
};

/** Few actors, artifacts and operations, so that receipts share them. */
const someReceipt = (chance: Chance, at: Instant): readonly [id: string, receipt: JsonObject] => {
  const id = chance.hex(10);
  const op = chance.int(5);
  return [
    id,
    {
      id,
      tenant: ACME,
      action: chance.pick(['db.export', 'db.import']),
      actor: chance.pick(['alice', 'bob', 'carol']),
      decision: chance.pick(['allow', 'deny']),
      created_at: instantText(at),
      ...(chance.perMille(500) && { evidence_hash: `sha256:${`${chance.int(3)}`.repeat(64)}` }),
      ...(chance.perMille(500) && { op_id: `op-${op}` }),
      ...(chance.perMille(300) && { op_parent_id: `op-${chance.int(5)}` }),
      ...(chance.perMille(300) && { region: 'eu-1' }),
    },
  ];
};

const isRecorded = async (store: StreamStore, receipt: JsonObject, at: Instant): Promise<boolean> => {
  const said = { tenant: ACME, actor: 'simulation', at, key: String(receipt['id']) };
  try {
    const outcome = await runCommand(
      { store, decider: receipts },
      { type: 'RecordReceipt', receipt, schemaVersion: 3 },
      said,
    );
    expect(outcome.kind).to.be.oneOf(['recorded', 'repeated']);
    return true;
  } catch (error) {
    if (error instanceof WritePathClosed) return false;
    throw error;
  }
};
