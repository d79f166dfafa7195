// Texts that are said again and again in bytes, such as names of tenants and types: the one that was made of the same bytes
// before is found by them, and none is made anew.

interface Known {
  readonly bytes: Uint8Array;
  readonly text: string;
}

const SLOTS = 4_096;
// One table for the whole thread; a text that comes to a taken slot takes it over.
const known: (Known | undefined)[] = Array.from({ length: SLOTS }, () => undefined);

/** The text whose UTF-8 bytes stand from `start` to before `end`. */
export const knownText = (bytes: Buffer, start: number, end: number): string => {
  let mixed = end - start;
  for (let at = start; at < end; at += 1) mixed = (Math.imul(mixed, 31) + (bytes[at] as number)) | 0;
  const slot = mixed & (SLOTS - 1);
  const before = known[slot];
  if (before && isSame(before.bytes, bytes, start, end)) return before.text;
  const made = {
    bytes: Uint8Array.from(bytes.subarray(start, end)),
    text: bytes.toString('utf8', start, end),
  };
  known[slot] = made;
  return made.text;
};

const isSame = (text: Uint8Array, bytes: Buffer, start: number, end: number): boolean => {
  const { length } = text;
  if (length !== end - start) return false;
  for (let index = 0; index < length; index += 1) if (text[index] !== bytes[start + index]) return false;
  return true;
};
