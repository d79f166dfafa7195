// Given facts, when another, then what follows: how a saga's tests read.
import { expect } from 'chai';
import type { AnySaga, Reaction } from '#sagas/saga.ts';
import type { Fact } from '#schemas/event.ts';
import { decodeFact } from '#schemas/index.ts';
import { ACME, chain, type Said } from '#test/projectors/chains.ts';

export interface Follows {
  /** What follows from the last fact, compared whole. */
  readonly then: (...reactions: readonly Reaction[]) => void;
  readonly thenNothing: () => void;
  /** The state after it, by the members that are named. */
  readonly state: (members: object) => void;
}

/** `givenSaga(drift, recorded).when(divergent).then(alarm)`; the facts must be of one instance. */
export const givenSaga = (saga: AnySaga, ...history: readonly Said[]) => ({
  when: (said: Said): Follows => {
    const facts = chain(ACME, [...history, said]).map((recorded) => decodeFact(recorded) as Fact);
    const last = facts.pop() as Fact;
    const folded = (state: unknown, fact: Fact): unknown =>
      saga.handles.includes(fact.type) ? frozen(saga.fold(state, fact)) : state;
    const before = facts.reduce(folded, frozen(saga.initial));
    const after = folded(before, last);
    // What is kept is JSON: a state that does not survive it would be another one after a restart.
    expect(JSON.parse(JSON.stringify(after))).to.deep.equal(after);
    const reactions = saga.react({ before, after, fact: last });
    return {
      then: (...wanted) => expect(reactions).to.deep.equal(wanted),
      thenNothing: () => expect(reactions).to.deep.equal([]),
      state: (members) => expect(after).to.deep.include(members),
    };
  },
});

/** A fold that changes the state it was given is found out. */
const frozen = <T>(state: T): T => Object.freeze(state);
