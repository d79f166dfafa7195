// A fixture into a ledger of its own, with progress.
import type { Expectation } from '#replay-harness/fixtures/format.ts';
import { LoadFault, loadFixture } from '#replay-harness/load.ts';
import type { CommandContext } from './command.ts';
import { CliError } from './exit.ts';
import { startProgress } from './progress.ts';
import { fixturePieces } from './replay-source.ts';
import type { ScratchLedger } from './world.ts';

export interface LoadingOptions {
  readonly fixture: string;
  readonly events: number | undefined;
  readonly quiet: boolean | undefined;
}

/** What the ledger must come to, where the fixture says it and was loaded whole. Throws `CliError`. */
export const loadInto = async (
  { world }: CommandContext,
  { pool, store, signer }: ScratchLedger,
  { fixture, events, quiet }: LoadingOptions,
): Promise<Expectation | undefined> => {
  let facts = 0;
  const progress = startProgress({
    terminal: world.stderr,
    unit: 'facts',
    verb: 'loaded',
    enabled: quiet !== true,
    state: () => ({ done: facts }),
  });
  try {
    const { pieces } = await fixturePieces(fixture, world.signal);
    return await loadFixture({
      pool,
      store,
      signer,
      pieces: pieces(),
      events,
      signal: world.signal,
      onFacts: (more) => {
        facts += more;
      },
    });
  } catch (error) {
    if (error instanceof LoadFault)
      throw new CliError('refused', 'load-refused', error.message, { cause: error });
    throw error;
  } finally {
    progress.stop();
  }
};
