// What no store takes, however it keeps facts: a request that would come back otherwise than it was hashed, or that
// has no answer. A fault of the calling program, found before anything is queued; the edges have told its author.
import type { Draft } from '#schemas/event.ts';
import { isUuid } from '#schemas/ids.ts';
import type { AppendRequest } from './stream.ts';

/** The law's bound for one append. */
export const FACTS_PER_APPEND_MAX = 1_000;

const VERSION_MAX = 32_767;
const ACTOR_MAX = 256;

/** Throws a `RangeError` that names the field. */
export const refuseMalformed = ({ drafts }: AppendRequest): void => {
  if (drafts.length < 1 || drafts.length > FACTS_PER_APPEND_MAX) {
    throw new RangeError(`an append has 1 to ${FACTS_PER_APPEND_MAX} facts, this one has ${drafts.length}`);
  }
  for (const draft of drafts) {
    const field = malformedField(draft);
    if (field !== undefined)
      throw new RangeError(`${field} of fact ${JSON.stringify(draft.id)} cannot be stored as it is`);
  }
  if (drafts.length > 1 && new Set(drafts.map((draft) => draft.id)).size < drafts.length) {
    throw new RangeError('two facts of one append have the same id');
  }
};

const malformedField = (draft: Draft): keyof Draft | undefined => {
  if (!isUuid(draft.id)) return 'id';
  if (!isText(draft.type)) return 'type';
  if (!Number.isInteger(draft.schemaVersion) || draft.schemaVersion < 1 || draft.schemaVersion > VERSION_MAX)
    return 'schemaVersion';
  if (!Number.isSafeInteger(draft.occurredAt)) return 'occurredAt';
  if (!isText(draft.actor) || draft.actor.length > ACTOR_MAX) return 'actor';
  if (!draft.payload.isWellFormed()) return 'payload';
  if (draft.stream !== undefined && !isText(draft.stream)) return 'stream';
  if (draft.opId !== undefined && !isText(draft.opId)) return 'opId';
  if (draft.opParentId !== undefined && !isText(draft.opParentId)) return 'opParentId';
  if (draft.region !== undefined && !isText(draft.region)) return 'region';
  if (draft.traceparent !== undefined && !isText(draft.traceparent)) return 'traceparent';
  return undefined;
};

// An empty text is how a store says "absent"; PostgreSQL's text holds no NUL; half a surrogate pair has no UTF-8.
const isText = (text: string): boolean => text !== '' && !text.includes('\0') && text.isWellFormed();
