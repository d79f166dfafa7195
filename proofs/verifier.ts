// Verifies one receipt with nothing but its bundle and the ledger's public keys: no network, no clock, no store. The
// key comes from the keys the caller trusts, never from the bundle; the algorithm comes from that key's record.

import type { Seq } from '#schemas/ids.ts';
import { MalformedBundle, type ParsedBundle, parseBundle } from './bundle-reader.ts';
import { isCanonical } from './canonical.ts';
import { linkFault } from './chain.ts';
import { pathFault, statementBytes } from './checkpoint.ts';
import { keysFromJwks, type VerificationKey, verifySignature } from './keys/public-key.ts';

export type CheckName =
  /** The document is a receipt bundle, each member in its only spelling. */
  | 'format'
  /** The payload is the one RFC 8785 text of its value. */
  | 'payload'
  /** The fact's hash covers its place, its authorship, its payload and the hash of the fact before. */
  | 'fact-hash'
  /** The fact is in the commit batch that was signed. */
  | 'batch-path'
  /** The key that is named is one that the caller trusts. */
  | 'trusted-key'
  /** That key signed the batch. */
  | 'signature';

export interface Check {
  readonly name: CheckName;
  readonly ok: boolean;
  /** What was found, in words; on failure what it means. */
  readonly detail: string;
}

export interface Verification {
  /** True only when every check is. */
  readonly ok: boolean;
  readonly checks: readonly Check[];
}

const NAMES: readonly CheckName[] = [
  'format',
  'payload',
  'fact-hash',
  'batch-path',
  'trusted-key',
  'signature',
];

/**
 * `bundle` is the text of a bundle, its bytes, or its parsed value; `jwks` the trusted keys as a JWK Set (RFC 7517
 * section 5). Never throws: whatever is wrong with either is a failed check.
 */
export const verifyReceipt = (bundle: unknown, jwks: unknown): Verification => {
  let parsed: ParsedBundle;
  try {
    parsed = parseBundle(bundle);
  } catch (error) {
    const why = error instanceof MalformedBundle ? error.message : 'this is no receipt bundle';
    return verdict(
      NAMES.map((name) => ({
        name,
        ok: false,
        detail: name === 'format' ? why : 'not looked at: the document could not be read',
      })),
    );
  }
  const trusted = trustedKey(jwks, parsed.proof.kid);
  const key = typeof trusted === 'string' ? undefined : trusted;
  const keyDetail = typeof trusted === 'string' ? trusted : `${trusted.algorithm} key ${trusted.kid}`;
  return verdict([
    {
      name: 'format',
      ok: true,
      detail: `${parsed.fact.tenant}/${parsed.fact.seq}, recorded at ${new Date(parsed.fact.recordedAt).toISOString()}`,
    },
    checkPayload(parsed),
    checkFactHash(parsed),
    checkPath(parsed),
    { name: 'trusted-key', ok: key !== undefined, detail: keyDetail },
    checkSignature(parsed, key),
  ]);
};

const verdict = (checks: readonly Check[]): Verification => ({
  ok: checks.every((check) => check.ok),
  checks,
});

const check = (name: CheckName, ok: boolean, [sound, broken]: readonly [string, string]): Check => ({
  name,
  ok,
  detail: ok ? sound : broken,
});

const checkPayload = ({ fact }: ParsedBundle): Check =>
  check('payload', isCanonical(fact.payload), [
    'the payload is canonical JSON',
    'the payload is not canonical JSON (RFC 8785): its text was changed, or was never that of a recorded fact',
  ]);

const checkFactHash = ({ fact }: ParsedBundle): Check => {
  // Judged by the chain's own law, as if the fact before were the one it names.
  const before = { seq: (fact.seq - 1) as Seq, hash: fact.prevHash, recordedAt: fact.recordedAt };
  return check('fact-hash', linkFault(fact, fact.tenant, before) === undefined, [
    `the hash ${fact.hash} is that of this fact`,
    'the hash is not that of this fact: some member of it was changed',
  ]);
};

const checkPath = ({ fact, proof }: ParsedBundle): Check =>
  check('batch-path', pathFault(fact.hash, proof) === undefined, [
    `the fact is one of ${proof.batchFactCount} under the root ${proof.root}`,
    'the paths do not lead from this fact to the root: the fact and the proof do not belong together',
  ]);

const trustedKey = (jwks: unknown, kid: string): VerificationKey | string => {
  try {
    const key = keysFromJwks(jwks).find((each) => each.kid === kid);
    return (
      key ??
      `the key ${kid.slice(0, 80)} is none of those given: get the ledger's keys from its owner, and decide whether to trust them`
    );
  } catch (error) {
    return `the keys cannot be used: ${error instanceof Error ? error.message : 'they are no JWK Set'}`;
  }
};

const checkSignature = ({ proof }: ParsedBundle, key: VerificationKey | undefined): Check => {
  if (!key) return { name: 'signature', ok: false, detail: 'not looked at: there is no trusted key for it' };
  return check('signature', isSigned(proof, key), [
    `signed at ${new Date(proof.signedAt).toISOString()} by ${key.kid}`,
    'the key did not sign this batch: the root, a count, the time or the ledger id was changed',
  ]);
};

const isSigned = (proof: ParsedBundle['proof'], key: VerificationKey): boolean => {
  try {
    return verifySignature(key, statementBytes(proof), Buffer.from(proof.signature, 'base64url'));
  } catch {
    return false;
  }
};
