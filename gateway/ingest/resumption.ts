// How far a file has been ingested, beside the data folder, so that a second run goes on where the first one ended.
// It is a hint that saves time and never a truth: a line sent again is answered as repeated. It holds only for the
// same bytes, tenant, mapping and ledger, and only while the chain still has the fact that stood at its end then: a
// ledger restored from an older backup gets every line again.
import { hash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Seq, Sha256, TenantId } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';

/** What must be the same for a second run to be a continuation. */
export interface ResumptionKey {
  readonly ledgerId: string;
  readonly tenant: TenantId;
  /** SHA-256 of the source's bytes and of the mapping file's, in hexadecimal. */
  readonly source: string;
  readonly mapping: string;
  /** What `through` counts: lines, or bytes of the decompressed source. */
  readonly unit: 'lines' | 'bytes';
}

export interface Resumption {
  /** Every line or byte up to this one was acknowledged, but for the lines in `rejected`. */
  readonly through: number;
  readonly rejected: readonly number[];
}

interface ResumptionFile extends Resumption {
  readonly format: typeof FORMAT;
  readonly key: ResumptionKey;
  readonly anchor: { readonly seq: Seq; readonly hash: Sha256 };
}

const FORMAT = 'prov-ledger/resumption/1';

/** Beyond this many rejected lines only those before the first one not listed count as done. */
const REJECTED_MAX = 10_000;

const fileOf = (folder: string, { ledgerId, tenant, source, mapping, unit }: ResumptionKey): string =>
  join(
    folder,
    `${tenant}-${hash('sha256', [ledgerId, tenant, source, mapping, unit].join('\n')).slice(0, 32)}.json`,
  );

/** Where to go on; the start when there is nothing, or nothing that can be relied on. */
export const loadResumption = async (
  folder: string,
  key: ResumptionKey,
  store: Pick<StreamStore, 'read'>,
): Promise<Resumption> => {
  const start: Resumption = { through: 0, rejected: [] };
  let file: ResumptionFile;
  try {
    file = JSON.parse(await readFile(fileOf(folder, key), 'utf8')) as ResumptionFile;
  } catch {
    return start;
  }
  if (file.format !== FORMAT || !Number.isSafeInteger(file.through) || !Array.isArray(file.rejected))
    return start;
  const { seq, hash: wanted } = file.anchor;
  for await (const facts of store.read(key.tenant, { from: seq, to: seq })) {
    if (facts[0]?.hash === wanted) return { through: file.through, rejected: file.rejected };
  }
  return start;
};

/** Replaces the file in one step. `progress` was taken before this call, so the head read here covers it. */
export const saveResumption = async (
  folder: string,
  key: ResumptionKey,
  { progress, store }: { readonly progress: Resumption; readonly store: Pick<StreamStore, 'head'> },
): Promise<void> => {
  const head = await store.head(key.tenant);
  if (!head) return;
  const rejected = [...progress.rejected].sort((one, other) => one - other);
  const through =
    rejected.length > REJECTED_MAX
      ? Math.min(progress.through, (rejected[REJECTED_MAX] as number) - 1)
      : progress.through;
  const file: ResumptionFile = {
    format: FORMAT,
    key,
    through,
    rejected: rejected.slice(0, REJECTED_MAX).filter((line) => line <= through),
    anchor: { seq: head.seq, hash: head.hash },
  };
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = fileOf(folder, key);
  await writeFile(`${path}.new`, `${JSON.stringify(file)}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
};
