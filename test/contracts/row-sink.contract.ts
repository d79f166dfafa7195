// What every place for read models does: rows and checkpoint in one transaction, the checkpoint by compare-and-swap over
// place and hash, and whatever cannot be taken leaves everything as it was.
import { expect } from 'chai';
import type { AnyProjector } from '#projectors/batch.ts';
import { type Halt, runProjectors } from '#projectors/run.ts';
import { beginning, positionOf, type RowSink, type Step } from '#projectors/sink.ts';
import type { Fact, Recorded } from '#schemas/event.ts';
import type { TenantId } from '#schemas/ids.ts';
import { acquaintance, met, parted } from '../projectors/acquaintance.ts';
import { ACME, type Chains, chain, chainsOf, feedOf, GLOBEX, type Said } from '../projectors/chains.ts';
import { decode, unknown } from '../projectors/tally.ts';

export interface SinkUnderTest {
  readonly sink: RowSink;
  /** The digest of what is in `acquaintance` (projectors/digest.ts). */
  readonly digest: () => Promise<string>;
  /** Makes it empty, checkpoints too. */
  readonly clear: () => Promise<void>;
}

const stepOver = (facts: readonly Recorded[], from = beginning((facts[0] as Recorded).tenant)): Step => ({
  tenant: from.tenant,
  from,
  to: positionOf(facts.at(-1) as Recorded),
  facts: facts
    .filter(({ seq, type }) => seq > from.seq && acquaintance.handles.includes(type as never))
    .map(decode) as readonly Fact[],
});

const HISTORY: readonly Said[] = [
  met('ada', 'bob', { since: Date.UTC(1843, 0, 1), weight: Number.MAX_SAFE_INTEGER, tags: ['b', 'a', ''] }),
  unknown,
  met('bob', 'ada', { weight: 0 }),
  met('ada', 'bob', { weight: -7 }),
  met('cyd', 'cyd', { tags: ['Å', 'Å'] }),
  parted('bob', 'ada'),
  met('Ærø `x` {y}', 'd\'oh "\\', { since: Date.UTC(2026, 1, 28, 23, 59, 59, 999) }),
  parted('ada', 'nobody'),
  met('bob', 'ada', {}),
];

export const rowSinkContract = (get: () => SinkUnderTest): void => {
  const projector: AnyProjector = acquaintance;
  let at: SinkUnderTest;
  beforeEach(async () => {
    at = get();
    await at.clear();
  });

  const run = async (chains: Chains, batchSize?: number): Promise<readonly Halt[]> => {
    const halts: Halt[] = [];
    await runProjectors({
      feed: feedOf(chains),
      sink: at.sink,
      projectors: [projector],
      decode,
      signal: new AbortController().signal,
      untilCaughtUp: true,
      onHalt: (halt) => halts.push(halt),
      ...(batchSize !== undefined && { batchSize }),
    });
    return halts;
  };

  it('has no checkpoint before the first step', async () => {
    expect(await at.sink.checkpoints(projector)).to.deep.equal([]);
    expect(await at.sink.checkpoints(projector, ACME)).to.deep.equal([beginning(ACME)]);
    expect(await at.sink.held(projector)).to.equal(undefined);
  });

  it('takes a step whole and stands at its end', async () => {
    const facts = chain(ACME, HISTORY);
    expect(await at.sink.apply(projector, stepOver(facts))).to.deep.equal({ kind: 'applied' });
    const [checkpoint] = await at.sink.checkpoints(projector, ACME);
    expect(checkpoint).to.deep.equal({
      tenant: ACME,
      ...positionOf(facts.at(-1) as Recorded),
      fault: undefined,
    });
  });

  it('gives the same digest whatever the size of the batches', async () => {
    const digests = new Set<string>();
    const chains = chainsOf(chain(ACME, HISTORY), chain(GLOBEX, HISTORY.slice(0, 5)));
    for (const size of [1, 2, 1000]) {
      await at.clear();
      expect(await run(chains, size)).to.deep.equal([]);
      digests.add(await at.digest());
    }
    expect([...digests]).to.have.length(1);
    await at.clear();
    await run(chainsOf(chain(ACME, HISTORY)));
    expect(digests.has(await at.digest()), 'and another one for another history').to.equal(false);
  });

  it('refuses a step from anywhere but the checkpoint, and changes nothing', async () => {
    const facts = chain(ACME, HISTORY);
    await at.sink.apply(projector, stepOver(facts.slice(0, 3)));
    const before = await at.digest();
    const [checkpoint] = await at.sink.checkpoints(projector, ACME);
    expect(await at.sink.apply(projector, stepOver(facts)), 'from the beginning again').to.deep.equal({
      kind: 'overtaken',
    });
    const other = { ...beginning(ACME), ...checkpoint, hash: 'f'.repeat(64) as never };
    expect(await at.sink.apply(projector, stepOver(facts, other)), 'another hash').to.deep.equal({
      kind: 'overtaken',
    });
    expect(await at.sink.checkpoints(projector)).to.deep.equal([checkpoint]);
    expect(await at.digest()).to.equal(before);
  });

  it("a step from a checkpoint that was removed stands in nobody's way who begins anew", async () => {
    const facts = chain(ACME, HISTORY);
    const third = positionOf(facts[2] as Recorded);
    expect(await at.sink.apply(projector, stepOver(facts.slice(0, 3)))).to.deep.equal({ kind: 'applied' });
    await at.clear();
    const further = stepOver(facts.slice(3), { tenant: ACME, ...third, fault: undefined });
    expect(await at.sink.apply(projector, further)).to.deep.equal({ kind: 'overtaken' });
    expect(await at.sink.checkpoints(projector)).to.deep.equal([]);
    expect(await at.sink.apply(projector, stepOver(facts))).to.deep.equal({ kind: 'applied' });
  });

  it('takes one of two equal steps that race', async () => {
    const facts = chain(ACME, HISTORY);
    const kinds = await Promise.all(
      Array.from({ length: 4 }, () => at.sink.apply(projector, stepOver(facts))),
    );
    expect(kinds.filter(({ kind }) => kind === 'applied')).to.have.length(1);
    expect(kinds.filter(({ kind }) => kind === 'overtaken')).to.have.length(3);
    const raced = await at.digest();
    await at.clear();
    await at.sink.apply(projector, stepOver(facts));
    expect(await at.digest()).to.equal(raced);
  });

  it('takes steps of many tenants together, each by itself taken or not', async () => {
    const acme = chain(ACME, HISTORY);
    const globex = chain(GLOBEX, HISTORY);
    await at.sink.apply(projector, stepOver(globex));
    const results = await at.sink.applyAll(projector, [stepOver(acme), stepOver(globex)]);
    expect(results).to.deep.equal([{ kind: 'applied' }, { kind: 'overtaken' }]);
  });

  it('names the fact that cannot be folded, and changes nothing', async () => {
    const facts = chain(ACME, [...HISTORY, met('eve', 'ada', { poison: true })]);
    const before = await at.digest();
    const result = await at.sink.apply(projector, stepOver(facts));
    expect(result).to.have.property('kind', 'refused');
    expect((result as { fact?: Fact }).fact?.seq).to.equal(facts.length);
    expect(await at.digest()).to.equal(before);
    expect(await at.sink.checkpoints(projector)).to.deep.equal([]);
  });

  for (const [what, more] of Object.entries({
    'a fraction where there is an integer': { weight: 0.5 },
    'an integer beyond 2^53': { weight: 2 ** 53 },
    'a NUL': { tags: ['\0'] },
  })) {
    it(`refuses ${what}, and changes nothing`, async () => {
      const result = await at.sink.apply(projector, stepOver(chain(ACME, [met('ada', 'bob', more)])));
      expect(result).to.have.property('kind', 'refused');
      expect(await at.sink.checkpoints(projector)).to.deep.equal([]);
    });
  }

  it('halts at the fact that cannot be taken, with one tenant only', async () => {
    const poisoned = [...HISTORY.slice(0, 4), met('eve', 'ada', { poison: true }), ...HISTORY.slice(4)];
    const halts = await run(chainsOf(chain(ACME, poisoned), chain(GLOBEX, HISTORY)));
    expect(halts.map(({ tenant, seq }) => [tenant, seq])).to.deep.equal([[ACME, 5]]);
    const at4 = await at.sink.checkpoints(projector);
    expect(at4.map(({ tenant, seq, fault }) => [tenant, seq, fault?.seq])).to.deep.equal([
      [ACME, 4, 5],
      [GLOBEX, HISTORY.length, undefined],
    ]);
    expect(at4[0]?.fault?.message).to.include('eve is poison');
  });

  it('notices another log under the checkpoint', async () => {
    await run(chainsOf(chain(ACME, HISTORY)));
    const before = await at.digest();
    const other = chain(ACME, [...HISTORY, met('new', 'ada')], ' rewritten');
    const halts = await run(chainsOf(other));
    expect(halts.map(({ message }) => message).join()).to.include('the log');
    expect(await at.digest()).to.equal(before);
  });

  it('tells tenants apart', async () => {
    const digestOf = async (tenant: TenantId): Promise<string> => {
      await at.clear();
      await run(chainsOf(chain(tenant, HISTORY)));
      return await at.digest();
    };
    expect(await digestOf(ACME)).to.not.equal(await digestOf(GLOBEX));
  });
};
