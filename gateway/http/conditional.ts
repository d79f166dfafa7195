// Conditional requests (RFC 9110 section 13): for what never changes once it is there, and for what can be told by a
// tag to be the same as before.
import { hash } from 'node:crypto';
import type { Call, Reply } from './route.ts';

/** The tag of something that its hash names. */
export const hashTag = (of: string): string => `"${of}"`;

/** The tag of a document by its bytes. */
export const digestTag = (body: string): string => hashTag(hash('sha256', body).slice(0, 32));

// Private: what a tenant may see is not for a cache that it shares with others.
const KEPT = {
  /** The URL will never name anything else. */
  'for-ever': { 'cache-control': 'private, max-age=31536000, immutable', vary: 'authorization' },
  /** The URL may name something else by now: ask each time. */
  'until-asked': { 'cache-control': 'private, no-cache', vary: 'authorization' },
  /** Documents of the program. */
  'for-minutes': { 'cache-control': 'public, max-age=300', vary: 'accept' },
} as const;
export type Kept = keyof typeof KEPT;

/** True when the caller has it already. */
export const isKnown = ({ headers: { 'if-none-match': known } }: Call, tag: string): boolean => {
  if (known === undefined) return false;
  // Section 13.1.2: "*", or a list that is compared weakly. Our tags have no comma in them.
  const tags = String(known).split(',', 64);
  return tags.some((each) => each.trim() === '*' || each.trim().replace(/^W\//, '') === tag);
};

export const notModified = (tag: string, { type }: Pick<Reply, 'type'>, kept: Kept = 'for-ever'): Reply => ({
  status: 304,
  type,
  headers: { etag: tag, ...KEPT[kept] },
  body: '',
});

/** The reply with its tag, and how long it may be kept. */
export const tagged = (tag: string, reply: Reply, kept: Kept = 'for-ever'): Reply => ({
  ...reply,
  headers: { ...reply.headers, etag: tag, ...KEPT[kept] },
});

/** A document of the program, or that the caller has it already. */
export const programDocument = (call: Call, reply: Reply): Reply => {
  if (typeof reply.body !== 'string') return reply;
  const tag = digestTag(reply.body);
  return isKnown(call, tag) ? notModified(tag, reply, 'for-minutes') : tagged(tag, reply, 'for-minutes');
};
