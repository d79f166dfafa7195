import { expect } from 'chai';
import { canonicalize, type JsonValue } from '#proofs/canonical.ts';
import { followedTypes, type ReactionsState, replayReactions } from '#replay-harness/reactions.ts';
import { drift } from '#sagas/attestations.ts';
import { allSagas } from '#sagas/index.ts';
import type { AnySaga } from '#sagas/saga.ts';
import type { Recorded } from '#schemas/event.ts';
import { simulate } from '#test/simulation/simulate.ts';

describe('replay-harness/reactions', function () {
  this.timeout(60_000);
  let history: readonly Recorded[];
  before(async () => {
    // The first whose saga closes a path and opens it again.
    for (let seed = 1; ; seed += 1) {
      ({ history } = (await simulate(seed)) as unknown as { readonly history: readonly Recorded[] });
      const byDrift = history.filter(({ actor }) => actor === 'saga:drift').map(({ type }) => type);
      if (byDrift.includes('gates.WritePathRestored') && byDrift.includes('gates.WritePathRolledBack')) break;
    }
  });
  const replayed = (facts: readonly Recorded[], sagas: readonly AnySaga[] = allSagas) => {
    const reactions = replayReactions(sagas);
    reactions.take(facts);
    return reactions.outcome();
  };
  const isClosing = ({ actor, type }: Recorded): boolean =>
    actor === 'saga:drift' && type === 'gates.WritePathRolledBack';
  const changed = (test: (fact: Recorded) => boolean, change: (fact: Recorded) => Recorded) => {
    const at = history.findIndex(test);
    return history.map((fact, index) => (index === at ? change(fact) : fact));
  };

  it('what the sagas decide is what is on record', () => {
    const [outcome] = replayed(history);
    expect(outcome).to.deep.include({ saga: 'drift', unasked: [] });
    expect(outcome?.borneOut).to.equal(history.filter(({ actor }) => actor === 'saga:drift').length);
    expect(outcome?.borneOut).to.be.greaterThan(2);
    expect(outcome?.instances).to.be.greaterThan(0);
    expect(outcome).to.not.have.property('halted');
  });

  it('a saga that decides otherwise today is told by the fact', () => {
    const later: AnySaga = {
      ...drift,
      react: (step) => (step.fact.type === 'attestations.DriftAlarmRaised' ? [] : drift.react(step)),
    };
    const { seq } = history.find(isClosing) as Recorded;
    expect(replayed(history, [later])[0]?.unasked[0]).to.equal(
      `drift does not ask for fact ${seq} of acme (gates.WritePathRolledBack): it asks for nothing of that id`,
    );
  });

  it('a fact that says another thing than was asked for is told', () => {
    const forged = changed(isClosing, (fact) => {
      const data = { ...(JSON.parse(fact.payload) as object), reason: 'another' } as JsonValue;
      return { ...fact, payload: canonicalize(data), parsed: data };
    });
    expect(replayed(forged)[0]?.unasked[0]).to.match(
      /^drift does not ask for fact \d+ of acme \(gates\.WritePathRolledBack\): it asks for \{"alarm_id"/,
    );
  });

  it('a fact that no decider would have let pass there is told', () => {
    const at = history.findIndex(isClosing);
    const closing = history[at] as Recorded;
    // By hand, just before: what is closed is not closed again.
    const byHand = { ...closing, actor: 'on-call', opParentId: undefined };
    const forged = [...history.slice(0, at), byHand, ...history.slice(at)];
    expect(replayed(forged)[0]?.unasked[0]).to.include('its command is refused there');
  });

  it('a fact that a saga cannot take halts it, and a saga that is not pure ends the replay', () => {
    const poisoned: AnySaga = {
      ...drift,
      fold: (state, fact) => {
        if (fact.type === 'attestations.DriftAlarmRaised') throw new Error('no such thing');
        return drift.fold(state, fact);
      },
    };
    const { seq } = history.find(({ type }) => type === 'attestations.DriftAlarmRaised') as Recorded;
    expect(replayed(history, [poisoned])[0]?.halted).to.deep.equal([
      { tenant: 'acme', seq, message: 'no such thing' },
    ]);
    const impure: AnySaga = { ...drift, key: () => String(Date.now()) };
    expect(() => replayed(history, [impure])).to.throw(/Date\.now in domain code, at .*reactions\.test\.ts:/);
  });

  it('goes on from any place, and comes to the same', () => {
    const whole = replayed(history);
    for (let at = 0; at <= history.length; at += 1) {
      const first = replayReactions(allSagas);
      first.take(history.slice(0, at));
      const state = JSON.parse(JSON.stringify(first.state())) as ReactionsState;
      const second = replayReactions(allSagas, state);
      second.take(history.slice(at));
      expect(second.outcome()).to.deep.equal(whole);
    }
  });

  it('only facts of the types that it follows are needed', () => {
    const types = new Set(followedTypes(allSagas));
    expect(replayed(history.filter(({ type }) => types.has(type)))).to.deep.equal(replayed(history));
    expect(followedTypes([])).to.deep.equal([]);
  });
});
