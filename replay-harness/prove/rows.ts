// Rows of read models as files: a line for each, the one that its hash is over (projectors/digest.ts), in any order.
import { closeSync, createReadStream, existsSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type AnyProjector, keyText } from '#projectors/batch.ts';
import { rowHash } from '#projectors/digest.ts';
import type { RowKey } from '#projectors/projector.ts';
import type { TenantId } from '#schemas/ids.ts';

export const rowsFile = (folder: string, { name }: Pick<AnyProjector, 'name'>): string =>
  join(folder, `${name}.rows`);

export interface RowsWriter extends Disposable {
  readonly write: (projection: string, lines: readonly string[]) => void;
}

/** Files that were there are written anew. */
export const rowsWriter = (folder: string, projectors: readonly AnyProjector[]): RowsWriter => {
  const files = new Map(
    projectors.map((projector) => [projector.name, openSync(rowsFile(folder, projector), 'w', 0o600)]),
  );
  return {
    write: (projection, lines) => {
      const file = files.get(projection);
      if (file !== undefined && lines.length > 0) writeSync(file, `${lines.join('\n')}\n`);
    },
    [Symbol.dispose]: () => {
      for (const file of files.values()) closeSync(file);
    },
  };
};

const linesOf = async function* (path: string): AsyncGenerator<string> {
  if (!existsSync(path)) return;
  yield* createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY });
};

export interface ShownRow {
  readonly tenant: TenantId;
  readonly key: RowKey;
}

const shown = ({ columns, key }: AnyProjector, line: string): ShownRow => {
  const [tenant, ...values] = JSON.parse(line) as [TenantId, ...unknown[]];
  const names = Object.keys(columns);
  return { tenant, key: key.map((name) => String(values[names.indexOf(name)])) };
};

const isRow = (projector: AnyProjector, line: string, row: ShownRow): boolean => {
  const { tenant, key } = shown(projector, line);
  return tenant === row.tenant && keyText(key) === keyText(row.key);
};

/** The line of one row, if it is in the file. */
export const rowIn = async (
  projector: AnyProjector,
  path: string,
  row: ShownRow,
): Promise<string | undefined> => {
  for await (const line of linesOf(path)) if (isRow(projector, line, row)) return line;
  return undefined;
};

export interface DifferingRow extends ShownRow {
  readonly first?: string | undefined;
  readonly other?: string | undefined;
}

/** More are not looked at: the first among so many is named. */
const MOST = 10_000;

/** The first row, by tenant and key, that the two files do not both have. 32 bytes of each row are held. */
export const differingRows = async (
  projector: AnyProjector,
  [first, other]: readonly [string, string],
): Promise<DifferingRow | undefined> => {
  const onlyFirst = new Map<string, number>();
  const onlyOther = new Set<string>();
  for await (const line of linesOf(first)) {
    const hash = rowHash(line);
    onlyFirst.set(hash, (onlyFirst.get(hash) ?? 0) + 1);
  }
  for await (const line of linesOf(other)) {
    const hash = rowHash(line);
    const left = onlyFirst.get(hash) ?? 0;
    if (left === 0) onlyOther.add(hash);
    else if (left === 1) onlyFirst.delete(hash);
    else onlyFirst.set(hash, left - 1);
  }
  const rows = [
    ...(await rowsWith(projector, first, onlyFirst)).map((row) => ({ ...row, side: 'first' as const })),
    ...(await rowsWith(projector, other, onlyOther)).map((row) => ({ ...row, side: 'other' as const })),
  ].sort((a, b) => (a.order < b.order ? -1 : a.order > b.order ? 1 : 0));
  const [least] = rows;
  if (!least) return undefined;
  const line = (side: 'first' | 'other') =>
    rows.find((row) => row.order === least.order && row.side === side)?.line;
  return { tenant: least.tenant, key: least.key, first: line('first'), other: line('other') };
};

const rowsWith = async (
  projector: AnyProjector,
  path: string,
  hashes: { readonly has: (hash: string) => boolean; readonly size: number },
) => {
  const rows: (ShownRow & { readonly line: string; readonly order: string })[] = [];
  if (hashes.size === 0) return rows;
  for await (const line of linesOf(path)) {
    if (!hashes.has(rowHash(line))) continue;
    const row = shown(projector, line);
    rows.push({ ...row, line, order: `${row.tenant} ${row.key.join(' ')}` });
    if (rows.length === MOST) break;
  }
  return rows;
};
