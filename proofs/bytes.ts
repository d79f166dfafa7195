// Values put into byte arrays, big-endian, as the chain's preimage and PostgreSQL's binary forms have them. Each function
// answers with the place behind what it put; the caller has made room. Loops over locals: for the short texts of an
// envelope they beat Buffer's writers, each of which is a call out of JavaScript.

const TWO_32 = 0x1_0000_0000;

export const putU32 = (into: Uint8Array, at: number, value: number): number => {
  into[at] = value >>> 24;
  into[at + 1] = value >>> 16;
  into[at + 2] = value >>> 8;
  into[at + 3] = value;
  return at + 4;
};

/** Any safe integer, in two's complement. */
export const putI64 = (into: Uint8Array, at: number, value: number): number =>
  putU32(into, putU32(into, at, Math.floor(value / TWO_32)), value >>> 0);

// Value of a hexadecimal digit by its character code; every hash and id here is lower-case by its brand.
const NIBBLE = Uint8Array.from({ length: 128 }, (_, code) =>
  Math.max(0, '0123456789abcdef'.indexOf(String.fromCharCode(code))),
);

const byteOf = (digits: string, index: number): number =>
  ((NIBBLE[digits.charCodeAt(index)] as number) << 4) | (NIBBLE[digits.charCodeAt(index + 1)] as number);

/** Half as many bytes as there are lower-case hexadecimal digits. */
export const putHex = (into: Uint8Array, at: number, digits: string): number => {
  const end = at + (digits.length >>> 1);
  for (let to = at, index = 0; to < end; to += 1, index += 2) into[to] = byteOf(digits, index);
  return end;
};

// -1 where a byte is none of the digits.
const DIGIT = Int8Array.from({ length: 256 }, (_, byte) =>
  '0123456789abcdef'.indexOf(String.fromCharCode(byte)),
);

/** Where digits stand in other bytes. */
export interface Digits {
  readonly bytes: Uint8Array;
  readonly at: number;
}

/** `count` bytes, from twice as many lower-case hexadecimal digits. -1, with rubbish behind `at`, when some are none. */
export const putHexOf = (
  into: Uint8Array,
  at: number,
  { bytes, at: from }: Digits,
  count: number,
): number => {
  let wrong = 0;
  for (let byte = 0; byte < count; byte += 1) {
    const high = DIGIT[bytes[from + byte * 2] as number] as number;
    const low = DIGIT[bytes[from + byte * 2 + 1] as number] as number;
    wrong |= high | low;
    into[at + byte] = (high << 4) | low;
  }
  return wrong < 0 ? -1 : at + count;
};

// Where the bytes of a UUID begin in its text.
const UUID_BYTES = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34] as const;

/** 16 bytes. */
export const putUuid = (into: Uint8Array, at: number, id: string): number => {
  for (let byte = 0; byte < 16; byte += 1) into[at + byte] = byteOf(id, UUID_BYTES[byte] as number);
  return at + 16;
};

/** One byte a character; -1, with rubbish behind `at`, when some character is not ASCII. */
export const putAscii = (into: Uint8Array, at: number, text: string): number => {
  const { length } = text;
  for (let index = 0; index < length; index += 1) {
    const code = text.charCodeAt(index);
    if (code > 0x7f) return -1;
    into[at + index] = code;
  }
  return at + length;
};
