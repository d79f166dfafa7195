// Given facts, when a command, then facts or a refusal: how a domain's tests read.
import { expect } from 'chai';
import type { CommandContext, Decided, Decider, Refusal } from '#commands/decider.ts';
import type { DomainEvent } from '#schemas/event.ts';
import { type Instant, tenantId } from '#schemas/ids.ts';

const CONTEXT: CommandContext = {
  tenant: tenantId('acme'),
  actor: 'alice',
  at: Date.UTC(2026, 10, 21, 9) as Instant,
  key: '0190a000-0000-7000-8000-000000000001',
};

/** A command's context: alice of acme, on 21 November 2026 at nine, unless said otherwise. */
export const inContext = (over: Partial<CommandContext> = {}): CommandContext => ({ ...CONTEXT, ...over });

export interface Then<E extends DomainEvent, R extends Refusal> {
  /** The events decided, each compared whole. */
  readonly then: (...events: readonly E[]) => void;
  /** The events with what they say beside their payload. */
  readonly thenDecided: (...events: readonly Decided<E>[]) => void;
  readonly thenRefused: (refusal: R['refusal']) => R;
}

/** `given(tenants, created, suspended).when({ type: 'ResumeTenant' }).then(resumed)` */
export const given = <Command, State, E extends DomainEvent, R extends Refusal>(
  decider: Decider<Command, State, E, R>,
  ...history: readonly E[]
) => ({
  when: (command: Command, over: Partial<CommandContext> = {}): Then<E, R> => {
    const state = history.reduce(decider.evolve, decider.initial);
    const decision = decider.decide(command, state, inContext(over));
    return {
      then: (...events) => {
        expect(decision).to.have.property('kind', 'accepted', 'the command is accepted');
        if (decision.kind === 'accepted')
          expect(decision.events.map(({ event }) => event)).to.deep.equal(events);
      },
      thenDecided: (...events) => expect(decision).to.deep.equal({ kind: 'accepted', events }),
      thenRefused: (name) => {
        if (decision.kind !== 'refused')
          throw new Error(`expected the refusal ${name}, but the command was accepted`);
        expect(decision.refusal.refusal).to.equal(name);
        expect(decision.refusal.message).to.match(/\S/);
        return decision.refusal;
      },
    };
  },
  /** What the history comes to. */
  state: (): State => history.reduce(decider.evolve, decider.initial),
});
