// The delivering end of a spool: frames in order, several in one request, each until all its receipts have a last word.
import { appendFileSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClientError } from './errors.ts';
import { pause, waitMs } from './retry.ts';
import { SpoolError } from './spool-error.ts';
import type { CarriedSpoolOptions, Keeping, SpoolStatus } from './spool-options.ts';
import { frameAt, segmentFile, segmentsIn } from './spool-segments.ts';
import type { Outcome } from './transport.ts';
import type { ReceiptBody } from './types.ts';

interface DeliveryParts<R> {
  readonly options: CarriedSpoolOptions<R>;
  readonly place: Place;
  /** Bytes of each segment that are kept for sure; those of a segment that was delivered are taken out. */
  readonly sizes: Map<number, number>;
  readonly stop: AbortSignal;
  /** The segment that is being written, and is not to be deleted. */
  readonly current: () => number;
}

/** Everything before it has its last word. */
export interface Place {
  readonly segment: number;
  readonly at: number;
}

const GROUP_RECEIPTS = 500;
const READ_BYTES = 4 << 20;

export const deliveryOf = <R>({ options, place: from, sizes, stop, current }: DeliveryParts<R>) => {
  const { folder } = options;
  const send = senderOf(options, stop);
  let place = from;
  let failed: Error | undefined;
  let running: Promise<void> | undefined;
  let again = false;

  const drainSegment = async (segment: number): Promise<boolean> => {
    if (place.segment !== segment) place = { segment, at: 0 };
    while (place.at < (sizes.get(segment) ?? 0)) {
      const group = await groupAt(segmentFile(folder, segment), place.at, sizes.get(segment) ?? 0);
      if (stop.aborted || !(await send.all(group.receipts))) return false;
      place = { segment, at: group.end };
      writeCursor(folder, place);
    }
    return true;
  };

  const run = async (): Promise<void> => {
    do {
      again = false;
      for (const segment of segmentsIn(folder)) {
        if (segment >= place.segment && !(await drainSegment(segment))) return;
        if (segment === current()) continue;
        rmSync(segmentFile(folder, segment), { force: true });
        sizes.delete(segment);
      }
    } while (again && !stop.aborted);
  };

  const behind = (): boolean => isBehind(sizes, place);

  const start = (): void => {
    again = true;
    if (running || stop.aborted || failed) return;
    running = run()
      .catch((error: Error) => {
        failed = error;
      })
      .finally(() => {
        running = undefined;
        // Something may have been written between the last look and this.
        if (again) start();
      });
  };

  return {
    start,
    idle: async (): Promise<void> => await running,
    drained: async (signal?: AbortSignal): Promise<void> => {
      while (behind() && !signal?.aborted && !stop.aborted) {
        if (failed) throw failed;
        start();
        await pause(10, signal);
      }
    },
    status: (): SpoolStatus => ({
      bytes: [...sizes.values()].reduce((sum, size) => sum + size, 0),
      drained: !behind(),
      trouble: failed ? { message: failed.message, problem: undefined } : send.trouble(),
    }),
  };
};

const isBehind = (sizes: ReadonlyMap<number, number>, place: Place): boolean =>
  [...sizes].some(
    ([segment, size]) =>
      (segment > place.segment && size > 0) || (segment === place.segment && size > place.at),
  );

/** Whole frames from an offset on, as many as one request takes; at least one. */
const groupAt = async (
  file: string,
  at: number,
  size: number,
): Promise<{ receipts: string[]; end: number }> => {
  const handle = await open(file, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(
      Buffer.alloc(Math.min(size - at, READ_BYTES)),
      0,
      null,
      at,
    );
    const bytes = buffer.subarray(0, bytesRead);
    const receipts: string[] = [];
    let end = 0;
    for (let frame = frameAt(bytes, 0); frame; frame = frameAt(bytes, end)) {
      if (end > 0 && receipts.length + frame.receipts.length > GROUP_RECEIPTS) break;
      receipts.push(...frame.receipts);
      end = frame.end;
    }
    if (end === 0)
      throw new SpoolError('corrupt', `${file} was changed at byte ${at}: move it aside, and look at it`);
    return { receipts, end: at + end };
  } finally {
    await handle.close();
  }
};

const senderOf = <R>(options: CarriedSpoolOptions<R>, stop: AbortSignal) => {
  const { via } = options;
  let trouble: SpoolStatus['trouble'];

  /** What to send again, and when at the earliest. */
  const sift = (receipts: readonly string[], outcomes: readonly Outcome<R>[]) => {
    const rest: string[] = [];
    let afterMs = 0;
    outcomes.forEach((outcome, index) => {
      const json = receipts[index] as string;
      if (outcome.kind === 'recorded') return options.onDelivered?.(outcome.receipt);
      const { error } = outcome;
      if (outcome.kind === 'final' && isOfTheReceipt(error)) return refuse(options, json, error);
      // A token that is not taken is the operator's to renew: the receipts wait for it.
      rest.push(json);
      trouble = { message: error.message, problem: error.problem };
      if (outcome.kind === 'again') afterMs = Math.max(afterMs, outcome.afterMs);
    });
    if (rest.length === 0) trouble = undefined;
    return { rest, afterMs };
  };

  return {
    trouble: () => trouble,
    /** Resolves to true when each has its last word; to false when the spool is closed before. */
    all: async (receipts: readonly string[]): Promise<boolean> => {
      let rest = receipts;
      for (let attempt = 1; rest.length > 0 && !stop.aborted; attempt += 1) {
        const sifted = sift(rest, await via.post(rest, { signal: stop }));
        rest = sifted.rest;
        const jitter = { afterMs: sifted.afterMs, random: Math.random() };
        if (rest.length > 0) await pause(waitMs(attempt, options.retry ?? {}, jitter), stop);
      }
      return rest.length === 0;
    },
  };
};

const isOfTheReceipt = ({ code }: ClientError): boolean => code === 'refused' || code === 'conflict';

const refuse = ({ folder, onRefused }: Keeping<never>, json: string, error: ClientError): void => {
  const receipt = JSON.parse(json) as ReceiptBody;
  const line = JSON.stringify({ receipt, code: error.code, problem: error.problem });
  appendFileSync(join(folder, 'refused.ndjson'), `${line}\n`);
  onRefused?.(receipt, error);
};

// The cursor may be lost or lag behind: what is delivered again is counted once. It is never ahead of the delivery.
export const readCursor = (folder: string): Place => {
  const file = join(folder, 'cursor.json');
  try {
    if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as Place;
  } catch {
    // From the first segment there is.
  }
  return { segment: 0, at: 0 };
};

const writeCursor = (folder: string, place: Place): void => {
  const draft = join(folder, 'cursor.draft');
  writeFileSync(draft, JSON.stringify(place));
  renameSync(draft, join(folder, 'cursor.json'));
};
