// A pair that a service of a user declares: a table of friendships and a graph of the same, with every kind of value.
import type { Mapping } from '#projectors/attestation/catalog.ts';
import type { Projector } from '#projectors/projector.ts';
import type { DomainEvent } from '#schemas/event.ts';
import { acquaintance, met } from '../projectors/acquaintance.ts';
import type { Said } from '../projectors/chains.ts';

type Met = DomainEvent<
  'test.Met',
  {
    readonly who: string;
    readonly whom: string;
    readonly since?: number;
    readonly weight?: number;
    readonly tags?: readonly string[];
  }
>;

type Friendship = {
  readonly who: string;
  readonly whom: string;
  readonly seq: number;
  readonly since: number | null;
  readonly weight: number | null;
  readonly tags: readonly string[] | null;
  readonly met: number;
};

export const friendships: Projector<Met, Friendship> = {
  name: 'friendships',
  version: 1,
  handles: ['test.Met'],
  columns: {
    who: 'text',
    whom: 'text',
    seq: 'bigint',
    since: 'timestamptz',
    weight: 'bigint',
    tags: 'text[]',
    met: 'integer',
  },
  key: ['who', 'whom'],
  insertOnly: true,
  keys: ({ data }) => [[data.who, data.whom]],
  fold: (_row, { seq, data }) => ({
    who: data.who,
    whom: data.whom,
    seq,
    since: data.since ?? null,
    weight: data.weight ?? null,
    tags: data.tags ?? null,
    met: 1,
  }),
};

export const friendshipMapping: Mapping = {
  route: 'friendships',
  graph: acquaintance,
  table: friendships,
  view: 'views.friendships',
  elements: {
    Person: { from: [{ id: 'who' }, { id: 'whom' }], shared: true },
    KNOWS: {
      from: [{ id: 'who', target: 'whom' }],
      properties: { since: 'since', weight: 'weight', tags: 'tags', met: 'met' },
    },
  },
};

const SINCE = Date.UTC(2026, 0, 1);

/** `edges` friendships among `people`, each pair once; the same each time. */
export const friends = (edges: number, people: number): readonly Said[] =>
  Array.from({ length: edges }, (_, index) => {
    const who = index % people;
    const whom = (who + 1 + Math.floor(index / people)) % people;
    return met(`Ærø ${who}`, `Ærø ${whom}`, {
      since: SINCE + index * 1_000,
      weight: index,
      ...(index % 5 > 0 && { tags: ['Zoë', `t${index % 7}`, 'a'] }),
    });
  });
