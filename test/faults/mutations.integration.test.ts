// The short form of mutations.fault.ts, and the proof that its oracle sees what it is there to see.
import { expect } from 'chai';
import type { StreamStore } from '#streams/stream.ts';
import { runMutations } from './mutations.ts';

describe('requests damaged at random', function () {
  this.timeout(180_000);

  it('get answers of the catalogue, none of 5xx; what is stored was acknowledged, what was acknowledged is stored', async () => {
    const { answers, statuses, problems, recorded, repeated, cutOff, stored } = await runMutations({
      requests: 2_000,
    });
    expect(answers).to.be.at.least(2_000);
    // The tenant and its token stand before the receipts, and the other tenant in a chain of its own.
    expect(stored).to.equal(3 + recorded + cutOff);
    expect(recorded).to.be.greaterThan(100);
    expect(repeated).to.be.greaterThan(5);
    expect(statuses['400']).to.be.greaterThan(100);
    const common =
      'body-not-json body-invalid-utf8 header-repeated media-type-unsupported receipt-id-taken receipt-malformed';
    expect(Object.keys(problems)).to.include.members(
      `${common} request-malformed request-timeout`.split(' '),
    );
  });

  /** The outcome with a store that is not what it should be. */
  const caught = async (append: (store: StreamStore) => StreamStore['append']): Promise<string> => {
    const failure = await runMutations({
      requests: 500,
      wrap: (store) => ({ ...store, append: append(store) }),
    }).catch((error: unknown) => error);
    expect(failure).to.be.an('error');
    return (failure as Error).message;
  };
  const isReceipt = (type: string | undefined): boolean => type === 'receipts.ReceiptRecorded';

  it('the oracle can tell: a store that fails where it should refuse', async () => {
    const message = await caught((store) => async (request) => {
      if (isReceipt(request.drafts[0]?.type)) throw new TypeError('not thought of');
      return await store.append(request);
    });
    expect(message).to.match(/to be below 500/);
  });

  it('the oracle can tell: a fact that is stored and nobody was told', async () => {
    const message = await caught((store) => async (request) => {
      const result = await store.append(request);
      return isReceipt(request.drafts[0]?.type) && result.kind === 'appended'
        ? { kind: 'no-such-tenant' }
        : result;
    });
    expect(message).to.match(/stored and not acknowledged|to be below 500/);
  });
});
