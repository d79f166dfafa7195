// Where two ways through one history part: the first row that differs, by tenant and key, what either way has there, and
// the fact from which on it differs, found by bisection over the facts that touch the row. Both ways' rows stay in files.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type AnyProjector, keyText } from '#projectors/batch.ts';
import type { RowKey } from '#projectors/projector.ts';
import type { FactId, Seq, TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import { readFixtureLines } from '../fixtures/read-lines.ts';
import { differingRows, rowIn, rowsFile, type ShownRow } from './rows.ts';
import type { ProveOptions, Way } from './way.ts';

export interface RowDifference {
  readonly projection: string;
  readonly tenant: TenantId;
  readonly key: RowKey;
  /** The row as the first way has it, and as the other has it: a JSON array of tenant and columns; absent where there is none. */
  readonly first?: string | undefined;
  readonly other?: string | undefined;
  /** From this fact on the row differs; absent when no fact of the history touches it. */
  readonly fact?: NamedFact | undefined;
  /** All rows, the first way's and the other's. */
  readonly dumps: readonly [string, string];
}

export interface NamedFact {
  readonly tenant: TenantId;
  readonly seq: Seq;
  readonly id: FactId;
  readonly type: string;
  /** Its place among all arrivals, from 1. */
  readonly arrival: number;
}

interface Parting {
  readonly projector: AnyProjector;
  readonly base: Way;
  readonly other: Way;
}

/** `undefined` when the rows are the same this time: a fold that differs from run to run may do that. */
export const rowDifference = async (
  options: ProveOptions,
  parting: Parting,
): Promise<RowDifference | undefined> => {
  const { projector, base, other } = parting;
  const folders = [folderOf(options, base, 'all'), folderOf(options, other, 'all')] as const;
  await walkInto(base, { rows: folders[0] });
  await walkInto(other, { rows: folders[1] });
  const dumps = [rowsFile(folders[0], projector), rowsFile(folders[1], projector)] as const;
  const found = await differingRows(projector, dumps);
  if (!found) return undefined;
  const { tenant, key, first, other: there } = found;
  const facts = await factsOf(options, { projector, tenant, key });
  const fact =
    base.takesEvents && other.takesEvents
      ? await bisected(options, { ...parting, row: found, facts })
      : facts.at(-1);
  return { projection: projector.name, tenant, key, first, other: there, fact, dumps };
};

const folderOf = ({ folder }: ProveOptions, { name }: Way, part: string): string =>
  join(folder, name.replaceAll(/[^A-Za-z0-9.-]+/g, '-'), part);

const walkInto = async (way: Way, asked: { readonly rows: string; readonly events?: number }) => {
  await mkdir(asked.rows, { recursive: true });
  await way.walk(asked);
};

interface TouchedRow {
  readonly projector: AnyProjector;
  readonly tenant: TenantId;
  readonly key: RowKey;
}

/** The facts whose keys name the row, in the order in which they arrived. */
const factsOf = async (
  { pieces }: ProveOptions,
  { projector, tenant, key }: TouchedRow,
): Promise<readonly NamedFact[]> => {
  const facts: NamedFact[] = [];
  const wanted = keyText(key);
  for await (const { bytes, firstLine } of pieces()) {
    readFixtureLines(Buffer.from(bytes), firstLine, {
      header: () => undefined,
      again: () => undefined,
      expect: () => undefined,
      fact: (fact, line) => {
        if (fact.tenant !== tenant || !projector.handles.includes(fact.type)) return;
        const { seq, id, type } = fact;
        // A fact that cannot be read or keyed made no row. The hash before it is no part of what a fold sees.
        try {
          const keys: readonly RowKey[] = projector.keys(decodeFact(fact as never));
          // The header is line 1.
          if (keys.some((each) => keyText(each) === wanted))
            facts.push({ tenant, seq, id, type, arrival: line - 1 });
        } catch {
          return;
        }
      },
    });
  }
  return facts;
};

interface Bisecting extends Parting {
  readonly row: ShownRow;
  readonly facts: readonly NamedFact[];
}

/** Before any of the facts both ways have no such row; behind the last one they differ. */
const bisected = async (
  options: ProveOptions,
  { facts, ...probing }: Bisecting,
): Promise<NamedFact | undefined> => {
  let equal = -1;
  let differs = facts.length - 1;
  while (differs - equal > 1) {
    if (options.signal?.aborted) return undefined;
    const middle = (equal + differs) >> 1;
    const { arrival } = facts[middle] as NamedFact;
    if (await differsAt(options, probing, arrival)) differs = middle;
    else equal = middle;
  }
  return facts[differs];
};

const differsAt = async (
  options: ProveOptions,
  { projector, base, other, row }: Omit<Bisecting, 'facts'>,
  events: number,
): Promise<boolean> => {
  const lines: (string | undefined)[] = [];
  for (const way of [base, other]) {
    const rows = folderOf(options, way, 'beginning');
    await walkInto(way, { rows, events });
    lines.push(await rowIn(projector, rowsFile(rows, projector), row));
  }
  return lines[0] !== lines[1];
};
