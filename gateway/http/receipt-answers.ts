// What became of a receipt that was sent, as it is answered: alone, or as one of many.
import { receiptBundle } from '#proofs/bundle.ts';
import type { Appended } from '#streams/stream.ts';
import { hashTag } from './conditional.ts';
import { problemDocument } from './problem-document.ts';
import { type Recording, receiptHref } from './record.ts';
import { jsonReply, problemReply, type Reply } from './route.ts';

/** The one thing that tells a repetition from the first answer, for who counts. */
export const REPLAYED = 'Idempotent-Replayed';

/** The same answer (status, body, tag, place) to the first sending and to every repetition. */
export const recordingReply = (recording: Recording, requestId: string): Reply => {
  switch (recording.kind) {
    case 'recorded':
    case 'repeated': {
      const { fact, proof } = recording.appended;
      return jsonReply(receiptBundle(fact, proof), 201, {
        location: receiptHref(idOf(recording.appended)),
        etag: hashTag(fact.hash),
        ...(recording.kind === 'repeated' && { [REPLAYED.toLowerCase()]: 'true' }),
      });
    }
    case 'malformed':
    case 'refused':
    case 'conflict':
      return problemReply(recording.problem, requestId);
    default:
      return recording satisfies never;
  }
};

/** `place` says which one of many it is. */
export const recordingResult = (place: object, recording: Recording, requestId: string): object => {
  switch (recording.kind) {
    case 'recorded':
    case 'repeated': {
      const { fact } = recording.appended;
      return {
        ...place,
        status: recording.kind,
        id: idOf(recording.appended),
        seq: fact.seq,
        hash: fact.hash,
      };
    }
    case 'malformed':
    case 'refused':
    case 'conflict':
      return { ...place, status: recording.kind, problem: problemDocument(recording.problem, requestId) };
    default:
      return recording satisfies never;
  }
};

const idOf = ({ fact }: Appended): string => (fact.parsed ?? JSON.parse(fact.payload)).id as string;
