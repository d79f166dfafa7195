// What a runner waits out must reach it as what it is: an error of the driver that got through would end the service.
import { expect } from 'chai';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { receipts } from '#projectors/receipts.ts';
import type { Step } from '#projectors/sink.ts';
import { CHAIN_START } from '#proofs/chain.ts';
import { tenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import type { Pool } from '#streams/postgres/connect.ts';
import { refused } from '#test/contracts/ledger-adapter.ts';

const away = () => Promise.reject(Object.assign(new Error('terminating connection'), { code: '57P01' }));

describe('projectors/postgres: a database that is away', () => {
  const sink = postgresRowSink({
    pool: { query: away, connect: away } as unknown as Pool,
    skips: away,
  });
  const step = { tenant: tenantId('acme'), from: CHAIN_START, to: CHAIN_START, facts: [] } as unknown as Step;
  const questions = {
    checkpoints: () => sink.checkpoints(receipts),
    held: () => sink.held(receipts),
    skips: () => sink.skips(receipts, tenantId('acme')),
    apply: () => sink.apply(receipts, step),
    applyAll: () => sink.applyAll(receipts, [step, step]),
  };
  it('is asked all there is to ask', () => {
    expect(Object.keys(questions)).to.have.members(Object.keys(sink));
  });
  for (const [name, ask] of Object.entries(questions))
    it(`is unavailable to ${name}`, async () => {
      expect(await refused(ask()))
        .to.be.instanceOf(StreamError)
        .with.property('code', 'unavailable');
    });
});
