// Infrastructure failures of the ledger's stores. Each code says what the caller does about it.

export type StreamErrorCode =
  /** The store cannot be reached, or closed the connection. An append was not stored: repeat it later. */
  | 'unavailable'
  /** An append was sent and not answered: it may be stored. Repeat it with the same ids: what was stored is answered as `repeated`. */
  | 'in-doubt'
  /** The store has no room left. Refuse new work, repeat later with the same ids. */
  | 'out-of-space'
  /** Stored facts do not follow from one another. Stop: no retry can help; restore from an export or a replica. */
  | 'corrupt'
  /** The store's schema is of another version than this program. Run `prov-ledger migrate`, or a newer program. */
  | 'schema-mismatch'
  /** The store refused a statement for lack of rights. Grant them as docs/operations says. */
  | 'forbidden'
  /** The tenant is on its way to another store, or there already: nothing was stored here. Repeat after a pause, at the store that has it. */
  | 'moving'
  /** The adapter has been closed; make a new one. */
  | 'closed'
  /** More appends are waiting than the queue's bounds allow. Nothing was stored: repeat after a pause. */
  | 'overloaded'
  /** The store answered in a way this adapter does not know. Repeat an append with the same ids, if at all. */
  | 'unexpected';

export class StreamError extends Error {
  override readonly name = 'StreamError';
  readonly code: StreamErrorCode;
  constructor(code: StreamErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
