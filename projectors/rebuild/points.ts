// Where a rebuild may die. A test names one and kills the process there; all of them are visited by every whole rebuild.

export const REBUILD_POINTS = [
  /** The lease is taken; the build's table may be new. */
  'claimed',
  /** Rows are in the table, in a transaction that is still open. */
  'chunk-copied',
  'chunk-committed',
  /** All rows are in. */
  'filled',
  'indexed',
  /** What the table holds is known. */
  'digested',
  /** What it must hold is known, and is the same. */
  'replayed',
  /** That it is the same stands in the ledger. */
  'attested',
  'proved',
  /** The facts that were recorded meanwhile are in too. */
  'caught-up',
  /** No step of the build in use can end before the switch does. */
  'switch-locked',
  /** In the switch's transaction: the new build is as far as the old one. */
  'switch-level',
  /** The switch is made, and not committed. */
  'switch-made',
  'switched',
  'released',
] as const;

export type RebuildPoint = (typeof REBUILD_POINTS)[number];

/** Called at each point; what it throws ends the rebuild there. */
export type AtPoint = (point: RebuildPoint) => Promise<void> | void;
