// A small graph that every sink can keep: who knows whom, said by facts, taken back by others.
import { ELEMENT_COLUMNS, type ElementRow, type GraphProjector } from '#projectors/graph/graph.ts';
import type { DomainEvent } from '#schemas/event.ts';
import type { Said } from './chains.ts';

type Met = DomainEvent<
  'test.Met',
  {
    readonly who: string;
    readonly whom: string;
    readonly since?: number;
    readonly weight?: unknown;
    readonly tags?: readonly string[];
    readonly poison?: true;
  }
>;
type Parted = DomainEvent<'test.Parted', { readonly who: string; readonly whom: string }>;

export type KnowsRow = ElementRow & {
  readonly since?: number | null;
  readonly weight?: number | null;
  readonly tags?: readonly string[] | null;
  readonly met?: number;
};

export const acquaintance: GraphProjector<Met | Parted, KnowsRow> = {
  name: 'acquaintance',
  version: 1,
  twin: 'none',
  handles: ['test.Met', 'test.Parted'],
  columns: { ...ELEMENT_COLUMNS, since: 'timestamptz', weight: 'bigint', tags: 'text[]', met: 'integer' },
  key: ['element', 'id', 'target'],
  nodes: { Person: { id: 'name', properties: [] } },
  edges: { KNOWS: { from: 'Person', to: 'Person', properties: ['since', 'weight', 'tags', 'met'] } },
  keys: ({ data: { who, whom } }) => [
    ['Person', who, ''],
    ['Person', whom, ''],
    ['KNOWS', who, whom],
  ],
  fold: (row, { type, seq, data }, [element = '', id = '', target = '']) => {
    if (element === 'Person') return row ?? { element, id, target, seq };
    if (type === 'test.Parted') return undefined;
    if (data.poison) throw new Error(`${data.who} is poison`);
    return {
      element,
      id,
      target,
      seq: row?.seq ?? seq,
      since: data.since ?? row?.since ?? null,
      weight: (data.weight as number | undefined) ?? row?.weight ?? null,
      tags: data.tags ?? row?.tags ?? null,
      met: (row?.met ?? 0) + 1,
    };
  },
};

export const met = (who: string, whom: string, more: Partial<Met['data']> = {}): Said => ({
  type: 'test.Met',
  data: { who, whom, ...more },
});
export const parted = (who: string, whom: string): Said => ({ type: 'test.Parted', data: { who, whom } });
