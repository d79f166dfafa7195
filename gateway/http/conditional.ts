// Conditional requests (RFC 9110 section 13) for what never changes once it is there.
import type { Call, Reply } from './route.ts';

/** The tag of something that its hash names. */
export const hashTag = (hash: string): string => `"${hash}"`;

// Private: what a tenant may see is not for a cache that it shares with others.
const forEver = (tag: string) => ({
  etag: tag,
  'cache-control': 'private, max-age=31536000, immutable',
  vary: 'authorization',
});

/** True when the caller has it already. */
export const isKnown = ({ headers: { 'if-none-match': known } }: Call, tag: string): boolean => {
  if (known === undefined) return false;
  // Section 13.1.2: "*", or a list that is compared weakly. Our tags have no comma in them.
  const tags = String(known).split(',', 64);
  return tags.some((each) => each.trim() === '*' || each.trim().replace(/^W\//, '') === tag);
};

export const notModified = (tag: string, { type }: Pick<Reply, 'type'>): Reply => ({
  status: 304,
  type,
  headers: forEver(tag),
  body: '',
});

/** The reply with its tag, to be kept for ever. */
export const immutable = (tag: string, reply: Reply): Reply => ({
  ...reply,
  headers: { ...reply.headers, ...forEver(tag) },
});
