// Ingest through the store's own append, as any caller would: for every store, with several writers at work, at the
// speed of group commit. Each line stands for itself: one that is malformed is reported, the others go in. A receipt's
// id is its idempotency key, so ingesting a line again changes nothing.

import { setTimeout as pause } from 'node:timers/promises';
import { receipts } from '#commands/receipts.ts';
import { runCommand } from '#commands/run.ts';
import { parseStrictBytes } from '#proofs/canonical.ts';
import type { Fault } from '#schemas/event.ts';
import type { Instant, TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import type { StreamStore } from '#streams/stream.ts';
import { type LineReceipt, receiptOfLine } from './line-receipt.ts';
import type { Mapping } from './mapping.ts';
import { LINE_BYTES_MAX, type SourceLine } from './source.ts';

/** One line that did not go in. */
export interface Rejection {
  readonly line: number;
  /** `line-too-long`, a code of the canonical front door, `unmappable`, `malformed-receipt`, `tenant-mismatch`, `id-taken`. */
  readonly code: string;
  /** What is wrong and what to do about it. */
  readonly message: string;
  readonly faults?: readonly Fault[];
}

export interface Ingestion {
  readonly store: Pick<StreamStore, 'append' | 'find' | 'readStream'>;
  readonly tenant: TenantId;
  readonly mapping: Mapping;
  readonly lines: AsyncIterable<readonly SourceLine[]>;
  /** Lines that an earlier run had acknowledged: they are not sent again. */
  readonly skip?: (line: number) => boolean;
  readonly onReject: (rejection: Rejection) => void;
  readonly signal: AbortSignal;
  readonly clock: () => Instant;
  /** Lines under way at most; 1,000 unless told. */
  readonly inFlight?: number;
}

/** What has become of the lines so far. All of them together are the lines read. */
export interface IngestCounts {
  readonly recorded: number;
  /** Recorded before, by an earlier run or an earlier line. */
  readonly repeated: number;
  readonly rejected: number;
  readonly skipped: number;
  readonly blank: number;
}

export interface IngestProgress {
  readonly counts: () => IngestCounts;
  /** Every line up to this number has been acknowledged or rejected. */
  readonly through: () => number;
  /** Settles when nothing is under way any more; throws what stopped it (`StreamError`, `SourceError`). */
  readonly done: Promise<void>;
}

const OVERLOAD_PAUSE_MS = 50;
const INGESTING_ACTOR = 'prov-ledger ingest';

/** Starts at once. When the signal aborts no further line is taken; those under way are still settled. */
export const ingestByAppending = (ingestion: Ingestion): IngestProgress => {
  const counts = { recorded: 0, repeated: 0, rejected: 0, skipped: 0, blank: 0 };
  const settled = prefix();
  const reject = (rejection: Rejection): 'rejected' => {
    ingestion.onReject(rejection);
    return 'rejected';
  };
  const finish = (line: number, outcome: keyof IngestCounts): void => {
    counts[outcome] += 1;
    settled.add(line);
  };
  const slots = slotsOf(ingestion.inFlight ?? 1_000);
  const take = async (line: SourceLine): Promise<void> => {
    if (ingestion.skip?.(line.number)) return finish(line.number, 'skipped');
    if (line.bytes?.length === 0) return finish(line.number, 'blank');
    const read = readLine(ingestion, line);
    if ('code' in read) return finish(line.number, reject(read));
    await slots.take(async () => finish(line.number, await record(ingestion, read, reject)));
  };
  const takeAll = async (): Promise<void> => {
    for await (const lines of ingestion.lines) {
      for (const line of lines) {
        if (ingestion.signal.aborted || slots.failure()) return;
        await take(line);
      }
    }
  };
  const run = async (): Promise<void> => {
    const [taken] = await Promise.allSettled([takeAll()]);
    await slots.drained();
    const failure =
      slots.failure() ?? (taken.status === 'rejected' ? { error: taken.reason as unknown } : undefined);
    if (failure) throw failure.error;
  };
  const done = run();
  done.catch(() => undefined);
  return { counts: () => ({ ...counts }), through: settled.through, done };
};

interface ReadReceipt extends LineReceipt {
  readonly line: number;
}

const readLine = (
  { mapping, tenant, clock }: Ingestion,
  { number, bytes }: SourceLine,
): ReadReceipt | Rejection => {
  if (bytes === undefined) {
    return {
      line: number,
      code: 'line-too-long',
      message: `is longer than ${LINE_BYTES_MAX} bytes; send a digest of the large part instead`,
    };
  }
  const strict = parseStrictBytes(bytes);
  if (!strict.ok) {
    const { code, message, path } = strict.error;
    return { line: number, code, message: path ? `${path}: ${message}` : message };
  }
  const read = receiptOfLine(strict, { mapping, tenant, at: clock() });
  return { line: number, ...read };
};

const record = async (
  { store, tenant, clock }: Ingestion,
  { line, receipt, schemaVersion }: ReadReceipt,
  reject: (rejection: Rejection) => 'rejected',
): Promise<'recorded' | 'repeated' | 'rejected'> => {
  const context = { tenant, actor: INGESTING_ACTOR, at: clock(), key: String(receipt['id']) };
  const outcome = await patiently(() =>
    runCommand({ store, decider: receipts }, { type: 'RecordReceipt', receipt, schemaVersion }, context),
  );
  switch (outcome.kind) {
    case 'recorded':
    case 'repeated':
      return outcome.kind;
    case 'id-taken':
      return reject({
        line,
        code: 'id-taken',
        message: `the id ${context.key} was recorded with other content as fact ${outcome.first.seq}; give this receipt an id of its own`,
      });
    case 'no-such-tenant':
      throw new NoSuchTenant(tenant);
    case 'refused': {
      const { refusal } = outcome;
      const code = refusal.refusal === 'TenantMismatch' ? 'tenant-mismatch' : 'malformed-receipt';
      return reject({
        line,
        code,
        message: refusal.message,
        ...('faults' in refusal && { faults: refusal.faults }),
      });
    }
    default:
      return outcome satisfies never;
  }
};

/** Nothing can go in: create the tenant first. */
export class NoSuchTenant extends Error {
  override readonly name = 'NoSuchTenant';
  constructor(tenant: string) {
    super(`there is no tenant ${tenant}: create it with \`prov-ledger tenant create ${tenant}\``);
  }
}

const patiently = async <T>(work: () => Promise<T>): Promise<T> => {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof StreamError) || error.code !== 'overloaded') throw error;
      await pause(OVERLOAD_PAUSE_MS);
    }
  }
};

/** At most `max` pieces of work at a time. After a failure the rest is settled, and no more is begun. */
const slotsOf = (max: number) => {
  let used = 0;
  let failed: { readonly error: unknown } | undefined;
  let freed = Promise.withResolvers<void>();
  const release = (): void => {
    used -= 1;
    freed.resolve();
    freed = Promise.withResolvers<void>();
  };
  return {
    failure: () => failed,
    take: async (work: () => Promise<void>): Promise<void> => {
      while (used >= max) await freed.promise;
      if (failed) return;
      used += 1;
      work().then(release, (error: unknown) => {
        failed ??= { error };
        release();
      });
    },
    drained: async (): Promise<void> => {
      while (used > 0) await freed.promise;
    },
  };
};

/** The longest run of settled lines from the first. */
const prefix = () => {
  let through = 0;
  const ahead = new Set<number>();
  return {
    through: () => through,
    add: (line: number): void => {
      ahead.add(line);
      while (ahead.delete(through + 1)) through += 1;
    },
  };
};
