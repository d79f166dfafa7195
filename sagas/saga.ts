// The law of sagas/: what follows.
//
// A saga is pure: it folds the facts of one instance into a state, and says what shall follow from the fact that came
// last. What follows is a command, whose id is worked out from the fact: delivered twice, or by two processes, it is
// recorded once. `run.ts` does everything around it. A saga reads no clock, calls nobody and never asks a decider; a
// refused command is an answer and no failure. Where it waits for a moment it asks for a timer, whose firing is a fact
// like any other. What `fold` or `react` throws parks the fact and halts its tenant. On history that was there before the
// saga, it folds and is silent.
import type { AttestationCommand } from '#commands/attestations.ts';
import type { FlagCommand } from '#commands/flags.ts';
import type { GateCommand } from '#commands/gates.ts';
import type { TimerCommand } from '#commands/timers.ts';
import { derivedId } from '#proofs/derived-id.ts';
import type { DomainEvent, Fact } from '#schemas/event.ts';
import type { FactId } from '#schemas/ids.ts';

/** What a saga may ask for, by the domain whose decider answers. */
export type Reaction =
  | { readonly domain: 'attestations'; readonly command: AttestationCommand }
  | { readonly domain: 'gates'; readonly command: GateCommand }
  | { readonly domain: 'flags'; readonly command: FlagCommand }
  | { readonly domain: 'timers'; readonly command: TimerCommand };

/** One fact, and the state of its instance before and after it. */
export interface Step<S, E extends DomainEvent> {
  readonly before: S;
  readonly after: S;
  readonly fact: Fact<E>;
}

export interface Saga<E extends DomainEvent = DomainEvent, S = unknown> {
  /** Unique; part of the ids of its commands and of their actor, `saga:<name>`. */
  readonly name: string;
  /** Counts up with every change of meaning; a new version folds all of history anew, silently up to where the old one was. */
  readonly version: number;
  /** One line for operators. */
  readonly summary: string;
  readonly handles: readonly E['type'][];
  /** The instance that a fact belongs to, within its tenant; `undefined`: none. */
  readonly key: (fact: Fact<E>) => string | undefined;
  /** A JSON value, as all states are: they are kept as text. */
  readonly initial: S;
  readonly fold: (state: S, fact: Fact<E>) => S;
  readonly react: (step: Step<S, E>) => readonly Reaction[];
}

/** A saga of whatever domain, as the machinery sees it: it is handed nothing but facts it handles and states it made. */
// oxlint-disable-next-line typescript/no-explicit-any -- no narrower type holds the folds of all sagas
export type AnySaga = Saga<any, any>;

/** The id of the first fact that a reaction comes to: that of the fact it follows from, and which of its reactions it is. */
export const reactionId = (saga: string, fact: FactId, index: number): FactId =>
  derivedId(`prov-ledger/saga-reaction/v1\n${saga.length}:${saga}${fact}${index}`);

/** Who the commands of a saga are by. */
export const sagaActor = (saga: string): string => `saga:${saga}`;
