// The independent replay in a thread beside the fill: it is the proof where it comes to the same, and no proof is weaker
// for it.
import { expect } from 'chai';
import type { AnyProjector } from '#projectors/batch.ts';
import { PROJECTORS_FOLDER } from '#projectors/postgres/source.ts';
import { RebuildError } from '#projectors/rebuild/errors.ts';
import type { RebuildPoint } from '#projectors/rebuild/points.ts';
import { receipts, receiptsDaily } from '#projectors/receipts.ts';
import { decodeFact } from '#schemas/index.ts';
import type { StreamStore } from '#streams/stream.ts';
import { ACME, GLOBEX } from '../chains.ts';
import { appendReceipts, openTenant } from '../ledger-facts.ts';
import { type History, history } from './history.ts';

const MODELS: readonly AnyProjector[] = [receiptsDaily, receipts];

describe('a rebuild with its replay beside it', function () {
  this.timeout(120_000);
  let past: History;
  beforeEach(async () => {
    past = await history({ projectors: MODELS, folder: PROJECTORS_FOLDER });
    for (const tenant of [ACME, GLOBEX]) {
      await openTenant(past.store, tenant);
      await appendReceipts(past.store, tenant, { from: 2, count: 90 });
    }
  });
  afterEach(() => past[Symbol.asyncDispose]());

  const beside = { folder: PROJECTORS_FOLDER, decode: decodeFact, besideFrom: 1 } as const;
  /** A store that nobody may read through: whoever replays at the end does. */
  const unread: Pick<StreamStore, 'read'> = {
    read: () => {
      throw new Error('read through the port');
    },
  };
  const failureOf = async (work: Promise<unknown>): Promise<Error> => {
    const error = await work.then(
      () => undefined,
      (caught: unknown) => caught,
    );
    expect(error).to.be.instanceOf(Error);
    return error as Error;
  };

  it('comes to the proofs of a replay at the end, and needs none', async () => {
    for (const model of MODELS) {
      const plain = await past.rebuild(model, { ...beside, besideFrom: 1_000_000 });
      const { proofs } = await past.rebuild(model, { ...beside, store: unread });
      expect(proofs).to.deep.equal(plain.proofs);
      expect(proofs).to.have.length(2);
    }
  });

  it('finds a row that no history produces', async () => {
    const at = async (point: RebuildPoint): Promise<void> => {
      if (point === 'filled')
        await past.owner.query(
          `UPDATE projections.receipts_daily_v1_b2 SET receipts = receipts + 1 WHERE tenant = 'acme'`,
        );
    };
    const error = await failureOf(past.rebuild(receiptsDaily, { ...beside, at }));
    expect(error).to.be.instanceOf(RebuildError).with.property('code', 'not-equal');
    expect(error.message).to.include('acme as of fact 91');
  });

  it('finds a fact whose bytes are not those that were hashed, and names it', async () => {
    await past.owner.query('ALTER TABLE ledger.facts DISABLE TRIGGER immutable');
    await past.owner.query(
      `UPDATE ledger.facts SET payload = overlay(payload placing '~'::bytea from 20) WHERE seq = 50`,
    );
    const error = await failureOf(past.rebuild(receiptsDaily, beside));
    expect(error.message).to.match(/^(acme|globex)\/50: hash-mismatch/);
  });

  it('goes on without it when its connection is cut', async () => {
    const cutting = setInterval(() => {
      void past.owner.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'prov-ledger replay'`,
      );
    }, 1);
    const { proofs } = await past.rebuild(receiptsDaily, beside).finally(() => clearInterval(cutting));
    expect(proofs.map(({ tenant, seq }) => `${tenant} ${seq}`)).to.deep.equal(['acme 91', 'globex 91']);
  });
});
