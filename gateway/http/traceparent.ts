// The trace that a request belongs to. It is carried with the fact and never hashed.
// W3C Trace Context section 3.2; other versions and the all-zero ids are passed over, as it asks.
const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** `undefined` for whatever is none. */
export const traceparentOf = (given: unknown): string | undefined =>
  typeof given === 'string' && TRACEPARENT.test(given) ? given : undefined;
