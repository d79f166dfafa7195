import { expect } from 'chai';
import { tokenUses } from '#gateway/http/token-uses.ts';
import type { Instant } from '#schemas/ids.ts';
import type { TokenUse } from '#streams/postgres/token-uses.ts';
import { acme, globex, openGateway, receipt } from './gateway-under-test.ts';

const at = (ms: number): Instant => ms as Instant;

describe('gateway/http: uses of tokens', () => {
  const opened = () => {
    const written: TokenUse[][] = [];
    const faults: unknown[] = [];
    const state = { away: false };
    const uses = tokenUses({
      write: async (of) => {
        await Promise.resolve();
        if (state.away) throw new Error('away');
        written.push([...of]);
      },
      onFault: (error) => faults.push(error),
      everyMs: 600_000,
    });
    return { written, faults, state, uses };
  };

  it('are written once a token, the last one, and nothing when there was none', async () => {
    const { written, uses } = opened();
    await uses.flush();
    for (let ms = 1; ms <= 1_000; ms += 1) uses.note(acme, 'a', at(ms));
    uses.note(globex, 'a', at(7));
    await uses.flush();
    await uses.flush();
    expect(written).to.deep.equal([
      [
        { tenant: acme, tokenId: 'a', at: 1_000 },
        { tenant: globex, tokenId: 'a', at: 7 },
      ],
    ]);
  });

  it('that could not be written are kept, unless there are newer ones', async () => {
    const { written, faults, state, uses } = opened();
    state.away = true;
    uses.note(acme, 'a', at(1));
    uses.note(acme, 'b', at(2));
    const flushed = uses.flush();
    uses.note(acme, 'a', at(3));
    await flushed;
    expect(faults).to.have.lengthOf(1);
    state.away = false;
    await uses[Symbol.asyncDispose]();
    expect(written[0]).to.have.deep.members([
      { tenant: acme, tokenId: 'a', at: 3 },
      { tenant: acme, tokenId: 'b', at: 2 },
    ]);
  });

  it('take bounded memory', async () => {
    const { written, uses } = opened();
    for (let count = 0; count < 20_000; count += 1) uses.note(acme, `t${count}`, at(count));
    uses.note(acme, 't5', at(50_000));
    await uses.flush();
    expect(written[0]).to.have.lengthOf(10_000);
    expect(written[0]?.[5]?.at).to.equal(50_000);
  });

  it('are entries, and no refusals', async () => {
    const used: string[] = [];
    await using under = await openGateway(undefined, {
      onTokenUse: (tenant, id) => used.push(`${tenant} ${id}`),
    });
    const reader = await under.token({ scopes: ['ledger:read'] });
    const id = String(reader.split('.')[1]);
    await under.post(reader, receipt());
    await under.get(reader.replace(/.$/, '-'), '/ledger/acme/head');
    await under.get(undefined, '/ledger/acme/head');
    expect(used).to.deep.equal([]);
    await under.get(reader, '/ledger/acme/head');
    expect(used).to.deep.equal([`acme ${id}`]);
  });
});
