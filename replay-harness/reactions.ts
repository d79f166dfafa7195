// Sagas in a replay: folded from their facts as the runner folds them, with nothing sent to anyone. What a saga decides is
// kept until the history says what became of it: a fact that names the saga as its actor, and another fact as its cause,
// must be the one that the saga asked for there, to the byte of its payload, as the decider of its domain makes it of the
// stream as it then stood. What was asked for and never recorded was refused, or was asked on history that was there
// before the saga; it is counted.
import { hash } from 'node:crypto';
import { deserialize, serialize } from 'node:v8';
import type { Decider, Refusal } from '#commands/decider.ts';
import { deciders } from '#commands/index.ts';
import { draftsOf } from '#commands/run.ts';
import { jsonbText, modelDigest } from '#projectors/digest.ts';
import { type AnySaga, type Reaction, reactionId, sagaActor } from '#sagas/saga.ts';
import type { Fact, Recorded } from '#schemas/event.ts';
import type { Seq, Sha256, TenantId } from '#schemas/ids.ts';
import { decodeFact, domains } from '#schemas/index.ts';
import { Unsound } from './lane-messages.ts';
import { guarded, ImpureAccess, installPurityGuard } from './purity.ts';

export interface SagaOutcome {
  readonly saga: string;
  readonly version: number;
  readonly instances: number;
  /** Commands that it asked for. */
  readonly decisions: number;
  /** Those that came to the very facts that are recorded. */
  readonly borneOut: number;
  /** Over the states of its instances, each hashed like a row: tenant, key, state. */
  readonly digest: Sha256;
  /** Recorded facts that are said to be its doing, and that it does not ask for so: one line each, the first hundred. */
  readonly unasked: readonly string[];
  readonly halted?: readonly { readonly tenant: TenantId; readonly seq: Seq; readonly message: string }[];
}

export interface Reactions {
  /** In the order of each tenant's chain. Throws `Unsound` where domain code is not pure. */
  take(facts: readonly Recorded[]): void;
  outcome(): readonly SagaOutcome[];
  /** JSON, to go on from. */
  state(): ReactionsState;
}

type Entries<Value> = readonly (readonly [string, Value])[];

export interface ReactionsState {
  readonly sagas: readonly {
    readonly states: Entries<unknown>;
    readonly awaited: Entries<Asked>;
    readonly decisions: number;
    readonly borneOut: number;
    readonly unasked: readonly string[];
    readonly halted: Entries<{ readonly seq: Seq; readonly message: string }>;
  }[];
  /** States of deciders may hold sets: in the form of structured clones, as base64. */
  readonly streams: string;
}

/** Of what a saga asked for: the command, or what its first fact makes of the facts behind it. */
type Asked =
  | { readonly kind: 'command'; readonly reaction: Reaction; readonly cause: Cause }
  | { readonly kind: 'later'; readonly type: string; readonly payload: string };

type Cause = Pick<Recorded, 'id' | 'recordedAt' | 'opId'>;

const { attestations, gates, flags, timers } = deciders;
const asking = { attestations, gates, flags, timers } as const satisfies {
  readonly [Domain in Reaction['domain']]: unknown;
};

/** Event types that the sagas, or the deciders they ask, look at. */
export const followedTypes = (sagas: readonly AnySaga[]): readonly string[] => {
  const types = new Set<string>(sagas.flatMap(({ handles }) => handles as readonly string[]));
  for (const { name, events } of domains)
    if (Object.hasOwn(asking, name)) for (const type of Object.keys(events)) types.add(type);
  return sagas.length === 0 ? [] : [...types];
};

const UNASKED_MAX = 100;

interface Following {
  readonly saga: AnySaga;
  readonly states: Map<string, unknown>;
  readonly awaited: Map<string, Asked>;
  readonly halted: Map<string, { readonly seq: Seq; readonly message: string }>;
  readonly unasked: string[];
  decisions: number;
  borneOut: number;
}

export const replayReactions = (sagas: readonly AnySaga[], from?: ReactionsState): Reactions => {
  installPurityGuard();
  const streams = from
    ? (deserialize(Buffer.from(from.streams, 'base64')) as Map<string, unknown>)
    : new Map<string, unknown>();
  const following = sagas.map((saga, index): Following => {
    const saved = from?.sagas[index];
    return {
      saga,
      states: new Map(saved?.states),
      awaited: new Map(saved?.awaited),
      halted: new Map(saved?.halted),
      unasked: [...(saved?.unasked ?? [])],
      decisions: saved?.decisions ?? 0,
      borneOut: saved?.borneOut ?? 0,
    };
  });
  return {
    take: (facts) => {
      for (const fact of facts) {
        for (const each of following)
          if (fact.actor === sagaActor(each.saga.name)) compare(each, fact, streams);
        evolve(fact, streams);
        for (const each of following) follow(each, fact);
      }
    },
    outcome: () => following.map(outcomeOf),
    state: () => ({
      streams: serialize(streams).toString('base64'),
      sagas: following.map(({ states, awaited, halted, unasked, decisions, borneOut }) => ({
        states: [...states],
        awaited: [...awaited],
        halted: [...halted],
        unasked,
        decisions,
        borneOut,
      })),
    }),
  };
};

/** As JSON, so that no two pairs read alike. */
const place = (tenant: TenantId, name: string): string => JSON.stringify([tenant, name]);

/** Runs domain code; throws `Unsound` where it is not pure, and hands back whatever else it throws. */
const attempt = <T>({ tenant, seq }: Recorded, work: () => T): { readonly done: T } | Error => {
  try {
    return { done: guarded(work) };
  } catch (error) {
    if (error instanceof ImpureAccess)
      throw new Unsound({
        code: 'impure',
        tenant,
        seq,
        message: `fact ${seq} of ${tenant}: ${error.message}`,
      });
    return error instanceof Error ? error : new Error(String(error));
  }
};

const follow = (each: Following, recorded: Recorded): void => {
  const { saga, states, awaited, halted } = each;
  const { tenant, seq, id, recordedAt, opId } = recorded;
  if (halted.has(tenant) || !saga.handles.includes(recorded.type)) return;
  const step = attempt(recorded, () => {
    const fact = decodeFact(recorded) as Fact;
    const key = saga.key(fact);
    if (key === undefined) return undefined;
    const before = states.get(place(tenant, key)) ?? saga.initial;
    const after = saga.fold(before, fact) as unknown;
    return { key, after, reactions: saga.react({ before, after, fact }) };
  });
  if (step instanceof Error) {
    halted.set(tenant, { seq, message: step.message });
    return;
  }
  if (!step.done) return;
  const { key, after, reactions } = step.done;
  states.set(place(tenant, key), after);
  each.decisions += reactions.length;
  const cause = { id, recordedAt, opId };
  for (const [index, reaction] of reactions.entries())
    awaited.set(place(tenant, reactionId(saga.name, id, index)), { kind: 'command', reaction, cause });
};

// oxlint-disable-next-line typescript/no-explicit-any -- no narrower type holds the deciders of all domains
type AnyDecider = Decider<any, any, any, Refusal>;

const deciderOf = (type: string): AnyDecider | undefined =>
  Object.values(asking).find(({ domain }) => type.startsWith(`${domain}.`)) as AnyDecider | undefined;

/** The stream of the fact as a decider sees it from now on. What it cannot read, no decider of this program could. */
const evolve = (recorded: Recorded, streams: Map<string, unknown>): void => {
  const decider = deciderOf(recorded.type);
  const { tenant, stream } = recorded;
  if (!decider || stream === undefined) return;
  const state = streams.get(place(tenant, stream)) ?? decider.initial;
  const next = attempt(recorded, () => decider.evolve(state, decodeFact(recorded)) as unknown);
  if (!(next instanceof Error)) streams.set(place(tenant, stream), next.done);
};

/** A fact that is said to follow from another by the saga's doing. One that names no cause was not sent by a saga. */
const compare = (each: Following, fact: Recorded, streams: ReadonlyMap<string, unknown>): void => {
  const { tenant, seq, type, id } = fact;
  if (fact.opParentId === undefined || each.halted.has(tenant)) return;
  const asked = each.awaited.get(place(tenant, id));
  each.awaited.delete(place(tenant, id));
  const why = asked ? otherwise(each, fact, { asked, streams }) : 'it asks for nothing of that id';
  if (why === undefined) each.borneOut += 1;
  else if (each.unasked.length < UNASKED_MAX)
    each.unasked.push(`${each.saga.name} does not ask for fact ${seq} of ${tenant} (${type}): ${why}`);
};

interface Comparing {
  readonly asked: Asked;
  readonly streams: ReadonlyMap<string, unknown>;
}

/** Why the fact is not what was asked for. */
const otherwise = (
  { saga, awaited }: Following,
  fact: Recorded,
  { asked, streams }: Comparing,
): string | undefined => {
  if (asked.kind === 'later') return difference(fact, asked);
  const { tenant } = fact;
  const { reaction, cause } = asked;
  const decider: AnyDecider = asking[reaction.domain];
  const stream = decider.stream?.(reaction.command, tenant);
  const state = streams.get(place(tenant, stream ?? '')) ?? decider.initial;
  const context = {
    tenant,
    actor: sagaActor(saga.name),
    at: cause.recordedAt,
    key: fact.id,
    opId: cause.opId,
    opParentId: cause.id,
  };
  const decision = attempt(fact, () => decider.decide(reaction.command, state, context));
  if (decision instanceof Error) return decision.message;
  if (decision.done.kind === 'refused')
    return `its command is refused there: ${decision.done.refusal.message}`;
  const [first, ...later] = draftsOf(decision.done.events, context, { stream });
  for (const { id, type, payload } of later) awaited.set(place(tenant, id), { kind: 'later', type, payload });
  return first ? difference(fact, first) : 'its command comes to nothing there';
};

const difference = (
  fact: Recorded,
  { type, payload }: Pick<Recorded, 'type' | 'payload'>,
): string | undefined => {
  if (fact.type !== type) return `it asks for ${type}`;
  return fact.payload === payload ? undefined : `it asks for ${payload}`;
};

const outcomeOf = ({ saga, states, halted, unasked, decisions, borneOut }: Following): SagaOutcome => {
  const hashes = [...states].map(([key, state]) =>
    hash('sha256', jsonbText([...(JSON.parse(key) as string[]), state]), 'binary'),
  );
  return {
    saga: saga.name,
    version: saga.version,
    instances: states.size,
    decisions,
    borneOut,
    digest: modelDigest(Buffer.from(hashes.join(''), 'latin1')) as Sha256,
    unasked: [...unasked],
    ...(halted.size > 0 && {
      halted: [...halted].map(([tenant, halt]) => ({ tenant: tenant as TenantId, ...halt })),
    }),
  };
};
