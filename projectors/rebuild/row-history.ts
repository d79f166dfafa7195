// One row through time: each fact that touched it, and what it was after that.
import { keyText } from '#projectors/batch.ts';
import type { Row, RowKey } from '#projectors/projector.ts';
import type { Fact } from '#schemas/event.ts';
import type { Seq } from '#schemas/ids.ts';
import { type RowFactsOptions, rowFacts } from './row-facts.ts';

export interface RowHistoryOptions extends RowFactsOptions {
  /** Facts that the read model passes over. */
  readonly skips: ReadonlySet<Seq>;
}

export interface RowMoment {
  readonly fact: Fact;
  /** Absent: the row is gone with this fact. */
  readonly row?: Row | undefined;
  /** The fold refuses the fact: live, the read model would have halted here. Nothing comes after it. */
  readonly refused?: string;
}

/** In the order in which the facts were recorded. Throws `StreamError`. */
export const rowHistory = async function* (options: RowHistoryOptions): AsyncGenerator<RowMoment> {
  const { projector, key, skips } = options;
  const own = keyOf(projector.key.length, key);
  let row: Row | undefined;
  for await (const fact of rowFacts({ ...options, key: own })) {
    if (skips.has(fact.seq)) continue;
    try {
      row = projector.fold(projector.insertOnly ? undefined : row, fact, own);
    } catch (error) {
      yield { fact, refused: (error as Error).message };
      return;
    }
    yield { fact, row };
  }
};

const keyOf = (length: number, key: RowKey): RowKey => {
  if (key.length === length) return key;
  throw new RangeError(`a key of ${length} values is wanted, not ${keyText(key)}`);
};
