// Ids that are worked out instead of drawn: who derives one again, after a crash or in another process, gets the same.
import { hash } from 'node:crypto';
import type { FactId } from '#schemas/ids.ts';

const VARIANT = '89ab';

/** A UUID of version 8 (RFC 9562 section 5.8) over a text that opens with what kind of id it is. */
export const derivedId = (preimage: string): FactId => {
  const hex = hash('sha256', preimage);
  const variant = VARIANT[Number.parseInt(hex.charAt(16), 16) & 3];
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}` as FactId;
};
