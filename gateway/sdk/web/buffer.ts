// What the strict reader of bundles (#proofs/canonical.ts, #proofs/bundle-reader.ts, #proofs/keys/p256.ts) asks of
// Node's Buffer, from the web's own parts. The build puts this file where those name `Buffer` and `node:buffer`, so
// that a browser reads a receipt with the very code that the ledger reads it with.

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** As Node reads it: signs that are not of the alphabet are passed over, and so are spare bits. */
const fromBase64url = (text: string): number[] => {
  const bytes: number[] = [];
  let bits = 0;
  let held = 0;
  for (const sign of text.split('=')[0] ?? '') {
    const value = BASE64URL.indexOf(sign === '+' ? '-' : sign === '/' ? '_' : sign);
    if (value === -1) continue;
    held = ((held << 6) | value) & 0xffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push((held >>> bits) & 0xff);
  }
  return bytes;
};

const toBase64url = (bytes: Uint8Array): string => {
  let text = '';
  for (let at = 0; at < bytes.length; at += 3) {
    const [a = 0, b = 0, c = 0] = bytes.subarray(at, at + 3);
    const signs = [a >>> 2, ((a & 3) << 4) | (b >>> 4), ((b & 15) << 2) | (c >>> 6), c & 63];
    for (const value of signs.slice(0, Math.min(3, bytes.length - at) + 1)) text += BASE64URL.charAt(value);
  }
  return text;
};

type Encoding = 'base64url' | 'hex' | 'utf8';

class WebBuffer extends Uint8Array {
  override toString(encoding: Encoding = 'utf8'): string {
    switch (encoding) {
      case 'base64url':
        return toBase64url(this);
      case 'hex':
        return [...this].map((byte) => byte.toString(16).padStart(2, '0')).join('');
      case 'utf8':
        // Node keeps a byte order mark; so must this, since the reader refuses it.
        return new TextDecoder('utf-8', { ignoreBOM: true }).decode(this);
      default:
        return encoding satisfies never;
    }
  }
}

const from = (source: string | Uint8Array | ArrayBuffer, at?: unknown, length?: number): WebBuffer => {
  if (typeof source === 'string') return new WebBuffer(fromBase64url(source));
  return source instanceof Uint8Array ? new WebBuffer(source) : new WebBuffer(source, at as number, length);
};

export const Buffer = {
  from,
  byteLength: (text: string): number => new TextEncoder().encode(text).length,
};

export const isUtf8 = (bytes: Uint8Array): boolean => {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
};
