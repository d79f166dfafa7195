// Two small read models that show every fact they were given: what is applied twice, or not at all, shows in them.
import type { AnyProjector } from '#projectors/batch.ts';
import type { Projector } from '#projectors/projector.ts';
import type { DomainEvent, Fact, Recorded } from '#schemas/event.ts';
import type { Said } from './chains.ts';

type Counted = DomainEvent<
  'test.Counted',
  { readonly names: readonly string[]; readonly by: number; readonly poison?: string }
>;
type Cleared = DomainEvent<'test.Cleared', { readonly names: readonly string[] }>;
export type TallyEvent = Counted | Cleared;

export type TallyRow = {
  readonly name: string;
  readonly total: number;
  readonly seqs: readonly string[];
  readonly note: string | null;
};

/** A row per name with all the facts that made it, until it is cleared. */
export const tally: Projector<TallyEvent, TallyRow> = {
  name: 'tally',
  version: 1,
  handles: ['test.Counted', 'test.Cleared'],
  columns: { name: 'text', total: 'bigint', seqs: 'text[]', note: 'text' },
  key: ['name'],
  keys: ({ data }) => data.names.map((name) => [name]),
  fold: (row, fact, [name = '']) => {
    if (fact.type === 'test.Cleared') return undefined;
    if (fact.data.poison === name) throw new Error(`${name} is poison`);
    const seqs = [...(row?.seqs ?? []), `${fact.seq} {"\\`];
    return { name, total: (row?.total ?? 0) + fact.data.by, seqs, note: row?.note === null ? 'again' : null };
  },
};

type LogRow = { readonly id: string; readonly seq: number };

/** A row per fact, insert-only. */
export const log: Projector<TallyEvent, LogRow> = {
  name: 'log',
  version: 1,
  handles: ['test.Counted', 'test.Cleared'],
  columns: { seq: 'bigint', id: 'text' },
  key: ['id'],
  insertOnly: true,
  keys: ({ id }) => [[id]],
  fold: (_row, { seq, id }) => ({ seq, id }),
};

export const both: readonly AnyProjector[] = [tally, log];
export const TABLES = new URL('./tables/', import.meta.url);

/** Reads any type; a payload that is no JSON cannot be read. */
export const decode = (recorded: Recorded): Fact => ({
  ...recorded,
  data: JSON.parse(recorded.payload) as unknown,
});

export const counted = (names: readonly string[], by = 1): Said => ({
  type: 'test.Counted',
  data: { names, by },
});
export const cleared = (...names: readonly string[]): Said => ({ type: 'test.Cleared', data: { names } });
export const poison = (name: string): Said => ({
  type: 'test.Counted',
  data: { names: ['bystander', name], by: 1, poison: name },
});
export const unreadable: Said = { type: 'test.Counted', payload: '{"names":' };
export const unknown: Said = { type: 'elsewhere.Happened', payload: 'not even JSON' };

const NAMES = ['ada', 'bob', 'cyd', 'Ærø', 'a"b\\c,{d}', ''];

/** Statements of every kind, the same each time. */
export const mixture = (length: number): readonly Said[] =>
  Array.from({ length }, (_, index) => {
    const name = NAMES[(index * 7) % NAMES.length] as string;
    const other = NAMES[(index * 5 + 1) % NAMES.length] as string;
    if (index % 11 === 3) return unknown;
    if (index % 13 === 5) return cleared(name, other);
    return counted(index % 3 === 0 ? [name, other] : [name], index);
  });
