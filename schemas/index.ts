// The domains of the ledger, and the way from a stored fact to one that can be folded.
import { type AttestationEvent, attestations } from './attestations.ts';
import type { DomainSchema, EventSchema, Fact, Fault, Recorded } from './event.ts';
import { type FlagEvent, flags } from './flags.ts';
import { type GateEvent, gates } from './gates.ts';
import { type MessageEvent, messages } from './messages.ts';
import { type PlacementEvent, placements } from './placements.ts';
import { type ProjectionEvent, projections } from './projections.ts';
import { type ReceiptEvent, receipts } from './receipts.ts';
import { type TenantEvent, tenants } from './tenants.ts';
import { type TimerEvent, timers } from './timers.ts';

/** One line each. */
export const domains: readonly DomainSchema[] = [
  tenants,
  receipts,
  messages,
  projections,
  attestations,
  gates,
  placements,
  flags,
  timers,
];

/** Everything that may be said. */
export type LedgerEvent =
  | TenantEvent
  | ReceiptEvent
  | MessageEvent
  | ProjectionEvent
  | AttestationEvent
  | GateEvent
  | PlacementEvent
  | FlagEvent
  | TimerEvent;

/**
 * A stored fact that this program cannot read: its type is not known here, it is of a newer version, or its
 * payload is no JSON. Folds stop at it: run the program version that wrote it, or a later one.
 */
export class UndecodableFact extends Error {
  override readonly name = 'UndecodableFact';
  constructor({ tenant, seq, type }: Recorded, why: string, options?: { cause?: unknown }) {
    super(`fact ${seq} of ${tenant} (${type}) cannot be read: ${why}`, options);
  }
}

const bySchemaType: ReadonlyMap<string, EventSchema> = new Map(
  domains.flatMap((domain) => Object.entries(domain.events)),
);

/** How one event type is read and written; `undefined` when the type is not known. */
export const eventSchema = (type: string): EventSchema | undefined => bySchemaType.get(type);

/** Faults of a payload; a type that is not known is itself one. */
export const faultsOf = (type: string, version: number, data: unknown): readonly Fault[] =>
  bySchemaType.get(type)?.faults(version, data) ?? [
    { pointer: '', message: `${type} is not an event type known here` },
  ];

/** The fact with its payload parsed and brought up to the newest version. Throws `UndecodableFact`. */
export const decodeFact = (recorded: Recorded): Fact<LedgerEvent> => {
  const schema = bySchemaType.get(recorded.type);
  if (!schema) throw new UndecodableFact(recorded, 'its type is not known here; run a newer program');
  const { schemaVersion } = recorded;
  if (!(schemaVersion >= 1 && schemaVersion <= schema.version)) {
    throw new UndecodableFact(
      recorded,
      `it is of version ${schemaVersion}, known are 1 to ${schema.version}; run a newer program`,
    );
  }
  const data = parsed(recorded);
  return {
    ...recorded,
    data: schemaVersion === schema.version ? data : upcast(schema, schemaVersion, data),
  } as Fact<LedgerEvent>;
};

const parsed = (recorded: Recorded): unknown => {
  if (recorded.parsed !== undefined) return recorded.parsed;
  try {
    return JSON.parse(recorded.payload);
  } catch (cause) {
    throw new UndecodableFact(
      recorded,
      'its payload is no JSON; restore the chain from an export or a replica',
      { cause },
    );
  }
};

const upcast = ({ upcasters, version }: EventSchema, from: number, data: unknown): unknown => {
  let current = data;
  for (let at = from; at < version; at++) current = upcasters[at]?.(current as never);
  return current;
};
