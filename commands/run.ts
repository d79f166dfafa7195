// Load, decide, append, and again when somebody was faster: the loop around every decider, once for all domains.
import { hash } from 'node:crypto';
import { canonicalize, type JsonValue } from '#proofs/canonical.ts';
import { derivedId } from '#proofs/derived-id.ts';
import type { DomainEvent, Draft, Fault, Recorded } from '#schemas/event.ts';
import {
  type FactId,
  isUuid,
  type Sha256,
  type StreamName,
  type StreamRevision,
  type TenantId,
} from '#schemas/ids.ts';
import { decodeFact, eventSchema, faultsOf } from '#schemas/index.ts';
import type { Appended, Expectation, StreamStore } from '#streams/stream.ts';
import type { CommandContext, Decided, Decider, Refusal } from './decider.ts';

/** The decider accepted, but an event it decided does not fit its schema: the command's own values do not. */
export interface Malformed extends Refusal<'Malformed'> {
  readonly faults: readonly Fault[];
}

/** `repeated` answers a request that was recorded before, whatever has changed since. */
export type Outcome<R extends Refusal = Refusal> =
  | { readonly kind: 'recorded' | 'repeated'; readonly facts: readonly Appended[] }
  | { readonly kind: 'refused'; readonly refusal: R | Malformed }
  /** The key belongs to another request; `first` is the fact it made. */
  | { readonly kind: 'id-taken'; readonly first: Recorded }
  | { readonly kind: 'no-such-tenant' };

/** The stream kept changing between load and append. Nothing was stored: send the same command again later. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly code = 'too-many-conflicts';
}

interface Runner<Command, State, E extends DomainEvent, R extends Refusal> {
  readonly store: Pick<StreamStore, 'append' | 'find' | 'readStream'>;
  readonly decider: Decider<Command, State, E, R>;
  /** How often to decide before giving up; 10 unless told. */
  readonly attempts?: number;
}

/** Expected outcomes are values. Throws `CommandError` when patience ends, `StreamError` when the store fails. */
export const runCommand = async <Command, State, E extends DomainEvent, R extends Refusal>(
  runner: Runner<Command, State, E, R>,
  command: Command,
  context: CommandContext,
): Promise<Outcome<R>> => {
  const { store, decider, attempts = 10 } = runner;
  const stream = decider.stream?.(command, context.tenant);
  for (let attempt = 0; attempt < attempts; attempt++) {
    const facts = stream === undefined ? [] : await store.readStream(context.tenant, stream);
    const decision = decider.decide(command, fold(decider, facts), context);
    if (decision.kind === 'refused')
      return (stream && (await firstAnswer(runner, { command, context, stream, facts }))) ?? decision;
    const faults = stream === undefined ? [] : faultsIn(decision.events);
    if (faults.length > 0) return { kind: 'refused', refusal: malformed(faults) };
    const expect = decider.opensTenant?.(command)
      ? ({ kind: 'new-tenant' } as const)
      : expectation(stream, facts);
    const drafts = draftsOf(decision.events, context, { stream });
    const result = await store.append({
      tenant: context.tenant,
      drafts,
      expect,
      requestHash: requestHash(decider, command),
    });
    switch (result.kind) {
      case 'appended':
        return { kind: 'recorded', facts: result.facts };
      case 'repeated':
      case 'id-taken':
      case 'no-such-tenant':
        return result;
      case 'conflict':
      case 'tenant-exists':
        break;
      default:
        result satisfies never;
    }
  }
  throw new CommandError(
    `${context.tenant}: decided ${attempts} times, and each time others were faster; send it again`,
  );
};

interface Refused<Command> {
  readonly command: Command;
  readonly context: CommandContext;
  readonly stream: StreamName;
  readonly facts: readonly Recorded[];
}

/**
 * A request that was recorded may well be refused today (its tenant exists already, by its own doing). When the
 * key is claimed, decide as of the claim and let the store compare the requests; the expectation is one that
 * no longer holds, so nothing can be stored by this.
 */
const firstAnswer = async <Command, State, E extends DomainEvent, R extends Refusal>(
  { store, decider }: Runner<Command, State, E, R>,
  { command, context, stream, facts }: Refused<Command>,
): Promise<Outcome<R> | undefined> => {
  const { tenant } = context;
  const first = await store.find(tenant, claimId(tenant, context.key));
  if (!first) return undefined;
  const before = facts.filter((fact) => fact.seq < first.seq);
  const asOf = { ...context, at: first.occurredAt };
  const decision = decider.decide(command, fold(decider, before), asOf);
  if (decision.kind === 'refused') return { kind: 'id-taken', first };
  const drafts = draftsOf(decision.events, asOf, { stream });
  const expect = decider.opensTenant?.(command)
    ? ({ kind: 'new-tenant' } as const)
    : expectation(stream, before);
  const result = await store.append({ tenant, drafts, expect, requestHash: requestHash(decider, command) });
  return result.kind === 'repeated' ? result : { kind: 'id-taken', first };
};

const fold = <State, E extends DomainEvent>(
  { initial, evolve }: Pick<Decider<never, State, E, never>, 'initial' | 'evolve'>,
  facts: readonly Recorded[],
): State => {
  let state = initial;
  for (const fact of facts) state = evolve(state, decodeFact(fact) as unknown as E);
  return state;
};

const expectation = (stream: StreamName | undefined, facts: readonly Recorded[]): Expectation =>
  stream === undefined
    ? { kind: 'any' }
    : { kind: 'stream', stream, revision: (facts.at(-1)?.seq ?? 0) as number as StreamRevision };

const faultsIn = (events: readonly Decided[]): readonly Fault[] =>
  events.flatMap(({ event, schemaVersion }) =>
    faultsOf(event.type, schemaVersion ?? newest(event.type), event.data),
  );

const malformed = (faults: readonly Fault[]): Malformed => ({
  refusal: 'Malformed',
  message: faults.map(({ pointer, message }) => `${pointer} ${message}`).join('; '),
  faults,
});

/** A pure insert's payload is its request; any other request is its command, whatever that came to decide. */
const requestHash = (
  { domain, stream }: Pick<Decider<never, never, never, never>, 'domain' | 'stream'>,
  command: unknown,
): Sha256 | undefined =>
  stream === undefined
    ? undefined
    : (hash('sha256', canonicalize({ domain, command: command as JsonValue })) as Sha256);

interface DraftOptions {
  readonly stream?: StreamName | undefined;
  /** The canonical text of the first event's payload, when the caller has it at hand. */
  readonly payload?: string | undefined;
}

/**
 * The facts-to-be of one decision. Needs no store: a bulk import decides and drafts by the hundred thousand.
 * Throws `CanonicalError` on a payload that JSON cannot say.
 */
export const draftsOf = (
  decided: readonly Decided[],
  context: CommandContext,
  { stream, payload }: DraftOptions = {},
): Draft[] => {
  const claim = claimId(context.tenant, context.key);
  const drafts: Draft[] = [];
  for (let index = 0; index < decided.length; index++) {
    const { event, schemaVersion, occurredAt, actor, opId, opParentId, region } = decided[index] as Decided;
    drafts.push({
      id: index === 0 ? claim : laterId(claim, index),
      type: event.type,
      schemaVersion: schemaVersion ?? newest(event.type),
      stream,
      payload: (index === 0 ? payload : undefined) ?? canonicalize(event.data as JsonValue),
      parsed: event.data,
      occurredAt: occurredAt ?? context.at,
      actor: actor ?? context.actor,
      opId: opId ?? context.opId,
      opParentId: opParentId ?? context.opParentId,
      region: region ?? context.region,
      traceparent: context.traceparent,
    });
  }
  return drafts;
};

const newest = (type: string): number => {
  const schema = eventSchema(type);
  if (!schema) throw new Error(`a decider decided ${type}, which no domain in schemas/index.ts knows`);
  return schema.version;
};

/**
 * The id of a request's first fact. A lower-case UUID is its own; any other key is hashed, together with its
 * tenant, into a UUID of version 8 (RFC 9562 section 5.8). Lengths go first, so that no two pairs read alike.
 */
export const claimId = (tenant: TenantId, key: string): FactId =>
  isUuid(key)
    ? (key as FactId)
    : derivedId(`prov-ledger/claim/v1\n${tenant.length}:${tenant}${Buffer.byteLength(key)}:${key}`);

const laterId = (claim: FactId, index: number): FactId =>
  derivedId(`prov-ledger/claim-next/v1\n${claim}${index}`);
