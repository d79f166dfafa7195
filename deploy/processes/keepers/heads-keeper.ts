// Keeps the heads of all chains in a file outside the database, and holds the ledger to it: at the start, and every
// minute. A database that was rolled back to an older backup verifies and looks well; appended to, it would give seqs
// that receipts have been handed out for to other facts. So a service that misses facts says so, and takes nothing in.
import { existsSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { CliError } from '#gateway/cli/exit.ts';
import { lostDocument, lostOf, lostText, readHeadsFile } from '#gateway/cli/heads.ts';
import { signHeads } from '#proofs/heads.ts';
import type { KeySet } from '#proofs/keys/public-key.ts';
import type { Signer } from '#proofs/keys/signer.ts';
import type { Instant } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import type { LostHead } from '#streams/kept-heads.ts';
import type { StreamStore } from '#streams/stream.ts';
import { errorFields, type Log } from '../../telemetry/logs.ts';

export interface HeadsKeeper extends AsyncDisposable {
  /** Heads of the file that the ledger does not have, as of the last look. */
  readonly lost: () => readonly LostHead[];
  /** Unix time, in seconds, of the last look that could be finished. */
  readonly checkedAt: () => number;
}

export interface KeeperOptions {
  readonly file: string;
  readonly store: StreamStore;
  readonly signer: Signer;
  readonly jwks: () => KeySet;
  readonly log: Log;
  /** Between two looks; a minute unless told. */
  readonly everyMs?: number;
}

const EVERY_MS = 60_000;
const NAMED_MAX = 10;

/** Resolves after the first look. Throws `CliError` when the file is there and cannot be believed. */
export const keepHeads = async (options: KeeperOptions): Promise<HeadsKeeper> => {
  const { log, everyMs = EVERY_MS } = options;
  const ending = new AbortController();
  let lost: readonly LostHead[] = [];
  let checkedAt = 0;
  const look = async (): Promise<void> => {
    const found = existsSync(options.file) ? await compared(options) : [];
    if (found.length > 0 && lost.length === 0) tell(options, found);
    if (found.length === 0 && lost.length > 0) log('info', 'the ledger has every head of the file again');
    lost = found;
    // Never over a file that knows more than the ledger: it is the evidence.
    if (lost.length === 0) await write(options);
    checkedAt = Date.now() / 1_000;
  };
  if (!existsSync(options.file))
    log('warn', 'there is no heads file yet: the ledger of this moment is taken as it is', {
      file: options.file,
    });
  await look();
  const loop = async (): Promise<void> => {
    for (;;) {
      await pause(everyMs, undefined, { signal: ending.signal, ref: false }).catch(() => undefined);
      await look().catch((error: unknown) =>
        log('warn', 'the heads could not be compared', errorFields(error)),
      );
      if (ending.signal.aborted) return;
    }
  };
  const looping = loop();
  return {
    lost: () => lost,
    checkedAt: () => checkedAt,
    [Symbol.asyncDispose]: async () => {
      ending.abort();
      await looping;
    },
  };
};

const compared = async ({ file, jwks, store }: KeeperOptions): Promise<readonly LostHead[]> =>
  await lostOf(store, { file, statement: await readHeadsFile(file, jwks()) });

const tell = ({ log, file }: KeeperOptions, lost: readonly LostHead[]): void => {
  log('error', 'the ledger lacks facts that it had: nothing is taken in', { file, heads: lost.length });
  for (const each of lost.slice(0, NAMED_MAX)) log('error', lostText(each), lostDocument(each));
};

/** Whole or not at all; each process has a draft of its own, as several may keep one file. */
const write = async ({ file, store, signer }: KeeperOptions): Promise<void> => {
  const madeAt = Date.now() as Instant;
  const heads = await store.heads();
  const text = `${JSON.stringify(await signHeads(signer, { ledgerId: store.ledgerId, madeAt, heads }))}\n`;
  const draft = `${file}.${process.pid}.part`;
  try {
    const handle = await open(draft, 'w', 0o644);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, file);
  } catch (cause) {
    throw new CliError(
      'unavailable',
      'heads-file',
      `${file} cannot be written (${(cause as Error).message}): let its folder be there and be this user's, or set PROV_LEDGER_HEADS_FILE to another`,
      { cause },
    );
  }
};

/** The same store, closed to appends while heads are missing; what is there can be read and proved. */
export const closedWhileLost = <S extends StreamStore>(store: S, { lost }: Pick<HeadsKeeper, 'lost'>): S => ({
  ...store,
  append: async (request) => {
    if (lost().length > 0)
      throw new StreamError(
        'unavailable',
        'the ledger lacks facts that it had: restore it, or accept the loss (prov-ledger heads check)',
      );
    return await store.append(request);
  },
});
