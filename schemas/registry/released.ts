// Two files that are checked in and only ever grow: every version of every subject that was released, and the numbers
// that registries gave them. With the second, messages stay readable while their registry is away; it is empty where
// this program comes from, since ids belong to whoever runs the registry.
import { readFileSync } from 'node:fs';

/** For each subject its released versions, the oldest first. */
export type ReleasedSet = { readonly [subject: string]: readonly unknown[] };

export interface KnownId {
  readonly subject: string;
  /** Counts from 1, in the released set. */
  readonly version: number;
}

/**
 * For each registry, by its address, what its ids stand for. Ids are a registry's own: the same number means another
 * schema elsewhere, so one registry's ids are never used for another.
 */
export type KnownIds = { readonly [registry: string]: { readonly [id: string]: KnownId } };

const read = (file: string | URL): unknown => JSON.parse(readFileSync(file, 'utf8')) as unknown;

/** Where `schemas publish --record` writes unless told otherwise, to be checked in. */
export const RELEASED_FILE = new URL('released.json', import.meta.url);
export const KNOWN_IDS_FILE = new URL('known-ids.json', import.meta.url);

export const released = (): ReleasedSet => read(RELEASED_FILE) as ReleasedSet;

/** Of the checked-in file unless told. Throws when the file is not there, or is no JSON. */
export const knownIds = (file: string | URL = KNOWN_IDS_FILE): KnownIds => read(file) as KnownIds;

/** An id's schema, where this registry's ids are known. */
export const knownSchema = (known: KnownIds, registry: string, id: number): unknown => {
  const entry = known[registry]?.[id];
  return entry && released()[entry.subject]?.[entry.version - 1];
};

/** The ids with one registry's added; `versions` holds every schema they stand for. */
export const withIds = (
  known: KnownIds,
  registry: string,
  { ids, versions }: { readonly ids: ReadonlyMap<string, number>; readonly versions: ReleasedSet },
): KnownIds => {
  const entries = [...ids].map(([subject, id]): [string, KnownId] => [
    String(id),
    { subject, version: versions[subject]?.length ?? 0 },
  ]);
  return { ...known, [registry]: { ...known[registry], ...Object.fromEntries(entries) } };
};

/** The set with these schemas behind the released ones of their subjects; a schema that is the last one is not repeated. */
export const withReleased = (
  before: ReleasedSet,
  now: readonly { readonly name: string; readonly schema: string }[],
): ReleasedSet => {
  const next: Record<string, readonly unknown[]> = { ...before };
  for (const { name, schema } of now) {
    const versions = next[name] ?? [];
    if (JSON.stringify(versions.at(-1)) !== schema) next[name] = [...versions, JSON.parse(schema) as unknown];
  }
  return next;
};

/** As the two files are written: a line for each schema or id, so that a review sees what was added. */
export const recordText = (value: ReleasedSet | KnownIds): string => {
  const entries = Object.entries(value).map(([name, held]) => {
    const [open, close] = Array.isArray(held) ? '[]' : '{}';
    const lines = Array.isArray(held)
      ? held.map((each) => JSON.stringify(each))
      : Object.entries(held as object).map(([id, each]) => `${JSON.stringify(id)}: ${JSON.stringify(each)}`);
    return `  ${JSON.stringify(name)}: ${open}\n${lines.map((line) => `    ${line}`).join(',\n')}\n  ${close}`;
  });
  return entries.length === 0 ? '{}\n' : `{\n${entries.join(',\n')}\n}\n`;
};
