// The public keys beside kept reports: those of earlier reports stay, so that each can be verified for ever.
export interface KeySet {
  readonly keys: readonly { readonly kid: string }[];
}

/** By kid; of two with one kid the earlier one stays, since a report may have been verified with it. */
export const mergedKeys = (earlier: KeySet, now: KeySet): KeySet => {
  const known = new Set(earlier.keys.map(({ kid }) => kid));
  return { keys: [...earlier.keys, ...now.keys.filter(({ kid }) => !known.has(kid))] };
};
