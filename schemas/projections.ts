// Projections, as the ledger has them on record: that a rebuilt read model was found equal to an independent replay, and
// that a fact is passed over by one of them. Both stand in the chain of the tenant whose rows they are about.
import { type Static, Type } from '@sinclair/typebox';
import type { DomainEvent, DomainSchema } from './event.ts';
import { sha256Hex, text, versioned } from './faults.ts';

const COUNT_MAX = 9_000_000_000_000_000;

const count = (of: string, minimum = 0) =>
  Type.Integer({ minimum, maximum: COUNT_MAX, description: `a whole number from ${minimum}: ${of}` });
const name = Type.String({
  pattern: '^[a-z][a-z0-9_]{0,62}$',
  description: 'a read model: up to 63 of a-z, 0-9 and _, starting with a letter',
});
const closed = { additionalProperties: false } as const;

export const rebuildProvedSchema = Type.Object(
  {
    projection: name,
    version: count('the version of its fold', 1),
    build: count('the table', 1),
    source_digest: sha256Hex("the projector's source and SQL"),
    as_of_seq: count('the place of the last fact that was folded'),
    as_of_hash: sha256Hex('that fact, as the chain has it'),
    rows: count('how many rows'),
    digest: sha256Hex('the rows, as docs/operations/rebuild.md says'),
  },
  { ...closed, description: 'RebuildProved' },
);
export const factSkippedSchema = Type.Object(
  {
    projection: name,
    seq: count('the place of the fact that is passed over', 1),
    reason: text(512, 'why it is passed over'),
  },
  { ...closed, description: 'FactSkipped' },
);

export type RebuildProved = DomainEvent<'projections.RebuildProved', Static<typeof rebuildProvedSchema>>;
export type FactSkipped = DomainEvent<'projections.FactSkipped', Static<typeof factSkippedSchema>>;
export type ProjectionEvent = RebuildProved | FactSkipped;

export const projections = {
  name: 'projections',
  events: {
    'projections.RebuildProved': versioned({ names: ['1'], payloads: [rebuildProvedSchema] }),
    'projections.FactSkipped': versioned({ names: ['1'], payloads: [factSkippedSchema] }),
  },
} as const satisfies DomainSchema;
