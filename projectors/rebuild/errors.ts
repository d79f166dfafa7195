// Why a rebuild did not come to its end. The build in use is untouched by every one of them.

export type RebuildFailure =
  /** Another process rebuilds this read model now: wait for it, or end it. */
  | 'under-way'
  /** Another process took the rebuild over while this one stood still: leave it to that one. */
  | 'lost-lease'
  /** There is nothing of that name or kind; the message says what there is. */
  | 'nothing-there'
  /** There is one of that name already: choose another, or drop it. */
  | 'exists'
  /** What is to be compared has other keys. */
  | 'not-alike'
  /** The rows are not those of an independent replay: the program or the machine is at fault; nothing was switched. */
  | 'not-equal'
  /** The fold refuses a fact that the build in use has taken: put the projector right, or skip the fact. */
  | 'halted'
  /** Facts come in faster than they are folded: try when there is less to do. */
  | 'never-level'
  /** Readers held the table for too long: try again later. */
  | 'in-use'
  /** A tenant is on a server that was not asked: name that one, or end the move that is under way. */
  | 'elsewhere'
  /** Ended by the signal. The build is kept, and the next rebuild goes on with it. */
  | 'interrupted';

export class RebuildError extends Error {
  override readonly name = 'RebuildError';
  readonly code: RebuildFailure;
  constructor(code: RebuildFailure, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
