// What it takes to go through a history in several ways and hold them against each other.
import type { AnyProjector } from '#projectors/batch.ts';
import type { LinePiece } from '../feed.ts';
import type { Expectation } from '../fixtures/format.ts';
import type { ReplayFault } from '../lane-messages.ts';

/** One way of going through the history. */
export interface Way {
  readonly name: string;
  readonly walk: (asked: Asked) => Promise<Walked>;
  /** Whether the beginning of the history can be asked for. */
  readonly takesEvents: boolean;
}

export interface Asked {
  /** Arrivals; all unless told. */
  readonly events?: number | undefined;
  /** A folder for `<projection>.rows`: a line for each row, in any order. */
  readonly rows?: string | undefined;
}

/** A table knows nothing of chains. */
export type Walked = Pick<Expectation, 'models'> & {
  readonly chains?: Expectation['chains'] | undefined;
  readonly fault?: ReplayFault | undefined;
};

export interface ProveOptions {
  /** At least two; all others are held against the first. */
  readonly ways: readonly Way[];
  readonly projectors: readonly AnyProjector[];
  /** The same history once more, to find the facts that made a row. */
  readonly pieces: () => AsyncIterable<LinePiece>;
  /** For the rows of ways that differ: kept there, in a folder for each. */
  readonly folder: string;
  readonly signal?: AbortSignal | undefined;
  readonly onWay?: ((way: Way) => void) | undefined;
}
