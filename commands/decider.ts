// The law of commands/: what is allowed.
//
// A decider is pure: given a command and the state folded from the facts of one stream, it answers with events
// or with a refusal. It never awaits, never throws, has no clock and no chance in it: time, ids and the actor
// arrive in the command. `run.ts` does everything around it, once for all domains.
import type { DomainEvent } from '#schemas/event.ts';
import type { Instant, StreamName, TenantId } from '#schemas/ids.ts';

/** What every command carries: who asks, when, and within which operation. */
export interface CommandContext {
  readonly tenant: TenantId;
  readonly actor: string;
  /** The moment of asking, from the caller's clock. */
  readonly at: Instant;
  /**
   * What makes two sendings the same request: the caller's idempotency key or the entity's own id.
   * A key that is a UUID is the first fact's id; any other is hashed into one.
   */
  readonly key: string;
  readonly opId?: string | undefined;
  readonly opParentId?: string | undefined;
  readonly region?: string | undefined;
  readonly traceparent?: string | undefined;
}

/** A state of the world that forbids the command, e.g. `TenantSuspended`; `message` says what to do. */
export interface Refusal<Name extends string = string> {
  readonly refusal: Name;
  readonly message: string;
}

/** An event as decided; `occurredAt` and the like are taken from the command's context unless given here. */
export interface Decided<E extends DomainEvent = DomainEvent> {
  readonly event: E;
  /** The version the payload is written in: the newest unless told. */
  readonly schemaVersion?: number;
  readonly occurredAt?: Instant;
  readonly actor?: string;
  readonly opId?: string | undefined;
  readonly opParentId?: string | undefined;
  readonly region?: string | undefined;
}

export type Decision<E extends DomainEvent, R extends Refusal> =
  | { readonly kind: 'accepted'; readonly events: readonly Decided<E>[] }
  | { readonly kind: 'refused'; readonly refusal: R };

export interface Decider<Command, State, E extends DomainEvent, R extends Refusal> {
  readonly domain: string;
  /** The stream the state is folded from; absent for a pure insert, for which no state is loaded. */
  readonly stream?: (command: Command, tenant: TenantId) => StreamName;
  /** True for a command that opens the tenant's chain. */
  readonly opensTenant?: (command: Command) => boolean;
  readonly initial: State;
  /** Total over the domain's events; ends in `satisfies never`. */
  readonly evolve: (state: State, event: E) => State;
  readonly decide: (command: Command, state: State, context: CommandContext) => Decision<E, R>;
}

export const accept = <E extends DomainEvent>(...events: readonly Decided<E>[]) =>
  ({ kind: 'accepted', events }) as const;

export const refuse = <Name extends string>(refusal: Name, message: string) =>
  ({ kind: 'refused', refusal: { refusal, message } }) as const;
