// The header Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): the id of a receipt that has none of its own.
// So a key is claimed by the very append that stores the receipt, as every id is, and needs no table and no end.
import { type Problem, problem } from './problems.ts';
import type { Call } from './route.ts';

// A string of RFC 9651; also bare, as most clients send it. Escapes are refused: two spellings would be two keys.
const KEY = /^(?:"([!#-[\]-~]{1,128})"|([!#-[\]-~]{1,128}))$/;

export const idempotencyKey = ({
  headers: { 'idempotency-key': given },
}: Call): string | undefined | Problem => {
  if (given === undefined) return undefined;
  const [, quoted, bare] = (typeof given === 'string' && KEY.exec(given)) || [];
  return quoted ?? bare ?? problem('idempotency-key-malformed', 'the header Idempotency-Key is no key');
};
