// What a read model was made by: the digest of its projector's source and of its SQL. Rows that two different sources
// made are never mixed. What the source imports is not in it: `projections verify` sees what came of that.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { AnyProjector } from '#projectors/batch.ts';
import { type SourceDigests, versionKey } from './builds.ts';

/** Where the projectors and their `.sql` files are. */
export const PROJECTORS_FOLDER = new URL('../', import.meta.url);

const TAG = 'prov-ledger/projector/v1';

/** SHA-256 in hexadecimal; the same on every machine and line ending. */
export const sourceDigest = async (projector: AnyProjector, folder: URL): Promise<string> => {
  const { name, version, columns, key, handles, insertOnly = false, keys, fold } = projector;
  const declared = { name, version, columns: Object.entries(columns), key, handles, insertOnly };
  const parts = [
    TAG,
    JSON.stringify(declared),
    codeOf(String(keys)),
    codeOf(String(fold)),
    codeOf(await moduleOf(name, folder)),
    codeOf(await readFile(new URL(`${name}.sql`, folder), 'utf8')),
  ];
  const sha = createHash('sha256');
  for (const part of parts) sha.update(`${Buffer.byteLength(part)}:${part}`);
  return sha.digest('hex');
};

/** Of every projector, by name and version. */
export const sourceDigests = async (
  projectors: readonly AnyProjector[],
  folder: URL = PROJECTORS_FOLDER,
): Promise<SourceDigests> =>
  new Map(
    await Promise.all(
      projectors.map(
        async (projector) => [versionKey(projector), await sourceDigest(projector, folder)] as const,
      ),
    ),
  );

/** Without indentation and without lines that are remarks: what they say changes no row. */
const codeOf = (text: string): string =>
  text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !/^(?:\/\/|--)/.test(line))
    .join('\n');

/** The module of a read model's domain: `receipts_daily` is in `receipts.ts`. */
const moduleOf = async (name: string, folder: URL): Promise<string> => {
  for (let domain = name; domain !== ''; domain = domain.slice(0, Math.max(domain.lastIndexOf('_'), 0))) {
    const text = await readFile(new URL(`${domain}.ts`, folder), 'utf8').catch(() => undefined);
    if (text !== undefined) return text;
  }
  return '';
};
