// What an ingest leaves beside the ledger: the lines that did not go in, and how far it has come.
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { IngestProgress, Rejection } from '../ingest/appending.ts';
import { type Resumption, type ResumptionKey, saveResumption } from '../ingest/resumption.ts';
import type { LedgerContext } from './command.ts';
import { CliError } from './exit.ts';
import { visible } from './output.ts';

const REJECTIONS_SHOWN = 50;
const SAVE_MS = 2_000;

export interface Memory {
  readonly folder: string;
  readonly key: ResumptionKey;
  readonly before: Resumption;
}

/** Each rejected line on standard error, up to a number, and all of them in the file that was asked for. */
export const rejectsTo = ({ output }: LedgerContext, path: string | undefined) => {
  const lines: number[] = [];
  const file = path === undefined ? undefined : createWriteStream(path);
  let failure: Error | undefined;
  file?.on('error', (error) => {
    failure = error;
  });
  return {
    lines,
    add: (rejection: Rejection): void => {
      lines.push(rejection.line);
      file?.write(`${JSON.stringify(rejection)}\n`);
      if (lines.length <= REJECTIONS_SHOWN)
        output.note(`line ${rejection.line}: ${rejection.code}: ${visible(rejection.message)}`);
      else if (lines.length === REJECTIONS_SHOWN + 1)
        output.note('further rejected lines are counted and not shown');
    },
    close: async (): Promise<void> => {
      if (!file) return;
      if (!failure) {
        file.end();
        await once(file, 'close').catch(() => undefined);
      }
      if (failure)
        throw new CliError(
          'unavailable',
          'rejects-unwritable',
          `${path} cannot be written: ${failure.message}`,
          { cause: failure },
        );
    },
  };
};

/** Writes down how far it has come, every now and then and at the end. A failure to do so only costs a later run time. */
export const savedRegularly = (
  { ledger, output }: LedgerContext,
  memory: Memory | undefined,
  work: IngestProgress,
  rejected: readonly number[],
) => {
  if (!memory) return { stop: async () => undefined };
  let told = false;
  let running = Promise.resolve();
  const save = async (): Promise<void> => {
    const progress = { through: work.through(), rejected: [...rejected] };
    await saveResumption(memory.folder, memory.key, { progress, store: ledger.store }).catch(
      (error: Error) => {
        if (!told)
          output.note(
            `cannot remember how far this has come (${error.message}); a second run will send every line again, which is harmless`,
          );
        told = true;
      },
    );
  };
  const timer = setInterval(() => {
    running = running.then(save);
  }, SAVE_MS);
  return {
    stop: async (): Promise<void> => {
      clearInterval(timer);
      await running;
      await save();
    },
  };
};
