// SHA-256 by WebCrypto, and bytes in base64url. A page has WebCrypto only on https or localhost.
import { Buffer } from './web/buffer.ts';

export const sha256 = async (bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> =>
  new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));

export const base64urlBytes = (text: string): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.from(text));

export const bytesBase64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url');

export const bytesHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
