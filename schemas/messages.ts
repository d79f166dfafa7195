// Messages come over topics, and a few of them need a decision that must be on record: one whose id stands for another
// receipt, those that could not be taken (letters), and what became of all of them, hour by hour.
//
// `messages.MessageConflicted` stands in the chain of the tenant whose id it is; all others in the chain of the tenant
// `operators`, since what could not be read belongs to no tenant yet.
import { type Static, Type } from '@sinclair/typebox';
import type { DomainEvent, DomainSchema } from './event.ts';
import { dateTime, sha256Hex, text, versioned, visible } from './faults.ts';

// A little below 2^53, where Avro's library refuses a long that a double may have rounded.
const COUNT_MAX = 9_000_000_000_000_000;

const count = (of: string) =>
  Type.Integer({ minimum: 0, maximum: COUNT_MAX, description: `a whole number from 0: ${of}` });

const place = {
  topic: visible(249, 'the topic, as the cluster calls it'),
  partition: count('the partition'),
};
const letter = {
  letter: count('the number of the letter'),
  ...place,
  offset: count('its offset'),
};
const closed = { additionalProperties: false } as const;

export const messageConflictedSchema = Type.Object(
  {
    ...place,
    offset: count('its offset'),
    id: visible(128, 'the id that stands for another receipt'),
    first_seq: count('the place of the fact that holds the id'),
    digest: sha256Hex('the receipt that was not taken, in canonical form'),
  },
  { ...closed, description: 'MessageConflicted' },
);
export const lettersListedSchema = Type.Object(
  {
    topic: Type.Optional(visible(249, 'the topic asked for')),
    listed: count('letters shown'),
  },
  { ...closed, description: 'LettersListed' },
);
export const letterViewedSchema = Type.Object(letter, { ...closed, description: 'LetterViewed' });
export const letterReplayedSchema = Type.Object(letter, { ...closed, description: 'LetterReplayed' });
export const letterDiscardedSchema = Type.Object(
  { ...letter, reason: text(512, 'why it was given up') },
  { ...closed, description: 'LetterDiscarded' },
);
export const flowStatedSchema = Type.Object(
  {
    ...place,
    hour: dateTime,
    received: count('messages received: the sum of the five that follow'),
    accepted: count('recorded as facts'),
    duplicate: count('recorded before'),
    conflict: count('whose id stands for another receipt'),
    dead_lettered: count('that cannot be taken'),
    held: count('that wait behind another, or for the registry'),
    discarded: count('of those that cannot be taken, given up'),
  },
  { ...closed, description: 'FlowStated' },
);

export type MessageConflicted = DomainEvent<
  'messages.MessageConflicted',
  Static<typeof messageConflictedSchema>
>;
export type LettersListed = DomainEvent<'messages.LettersListed', Static<typeof lettersListedSchema>>;
export type LetterViewed = DomainEvent<'messages.LetterViewed', Static<typeof letterViewedSchema>>;
export type LetterReplayed = DomainEvent<'messages.LetterReplayed', Static<typeof letterReplayedSchema>>;
export type LetterDiscarded = DomainEvent<'messages.LetterDiscarded', Static<typeof letterDiscardedSchema>>;
export type FlowStated = DomainEvent<'messages.FlowStated', Static<typeof flowStatedSchema>>;
export type MessageEvent =
  | MessageConflicted
  | LettersListed
  | LetterViewed
  | LetterReplayed
  | LetterDiscarded
  | FlowStated;

const one = (payload: Parameters<typeof versioned>[0]['payloads'][number]) =>
  versioned({ names: ['1'], payloads: [payload] });

export const messages = {
  name: 'messages',
  events: {
    'messages.MessageConflicted': one(messageConflictedSchema),
    'messages.LettersListed': one(lettersListedSchema),
    'messages.LetterViewed': one(letterViewedSchema),
    'messages.LetterReplayed': one(letterReplayedSchema),
    'messages.LetterDiscarded': one(letterDiscardedSchema),
    'messages.FlowStated': one(flowStatedSchema),
  },
} as const satisfies DomainSchema;
