// Verifies one receipt with nothing but its bundle and the ledger's public keys, in a browser as in Node: no network,
// no clock. The checks and their words are those of #proofs/verifier.ts, over WebCrypto instead of node:crypto; the
// document is read by the same code. A test compares the two on sound receipts and on every forgery.
import { MalformedBundle, type ParsedBundle, parseBundle } from '#proofs/bundle-reader.ts';
import { isCanonical } from '#proofs/canonical.ts';
import { base64urlBytes } from './digest.ts';
import { isSignedBy, type TrustedKey, trustedKeys } from './keys.ts';
import { factHash, isUnderRoot, statementBytes } from './proof.ts';
import type { Check, CheckName, Verification } from './types.ts';

const NAMES: readonly CheckName[] = [
  'format',
  'payload',
  'fact-hash',
  'batch-path',
  'trusted-key',
  'signature',
];

/**
 * `bundle` is the text of a bundle, its bytes, or its parsed value; `jwks` the keys the caller trusts, as a JWK Set
 * (RFC 7517 section 5), never ones that came with the bundle. Never rejects: whatever is wrong is a failed check.
 */
export const verifyReceipt = async (bundle: unknown, jwks: unknown): Promise<Verification> => {
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
  const { fact, proof } = parsed;
  const trusted = await keyNamed(jwks, proof.kid);
  const key = typeof trusted === 'string' ? undefined : trusted;
  return verdict([
    {
      name: 'format',
      ok: true,
      detail: `${fact.tenant}/${fact.seq}, recorded at ${new Date(fact.recordedAt).toISOString()}`,
    },
    checked('payload', isCanonical(fact.payload), [
      'the payload is canonical JSON',
      'the payload is not canonical JSON (RFC 8785): its text was changed, or was never that of a recorded fact',
    ]),
    checked('fact-hash', (await factHash(fact)) === fact.hash, [
      `the hash ${fact.hash} is that of this fact`,
      'the hash is not that of this fact: some member of it was changed',
    ]),
    checked('batch-path', await isUnderRoot(fact.hash, proof), [
      `the fact is one of ${proof.batchFactCount} under the root ${proof.root}`,
      'the paths do not lead from this fact to the root: the fact and the proof do not belong together',
    ]),
    {
      name: 'trusted-key',
      ok: key !== undefined,
      detail: typeof trusted === 'string' ? trusted : `${trusted.algorithm} key ${trusted.kid}`,
    },
    await checkSignature(proof, key),
  ]);
};

const verdict = (checks: readonly Check[]): Verification => ({
  ok: checks.every((check) => check.ok),
  checks,
});

const checked = (name: CheckName, ok: boolean, [sound, broken]: readonly [string, string]): Check => ({
  name,
  ok,
  detail: ok ? sound : broken,
});

const keyNamed = async (jwks: unknown, kid: string): Promise<TrustedKey | string> => {
  try {
    const keys = await trustedKeys(jwks);
    return (
      keys.find((each) => each.kid === kid) ??
      `the key ${kid.slice(0, 80)} is none of those given: get the ledger's keys from its owner, and decide whether to trust them`
    );
  } catch (error) {
    return `the keys cannot be used: ${error instanceof Error ? error.message : 'they are no JWK Set'}`;
  }
};

const checkSignature = async (proof: ParsedBundle['proof'], key: TrustedKey | undefined): Promise<Check> => {
  if (!key) return { name: 'signature', ok: false, detail: 'not looked at: there is no trusted key for it' };
  const statement = statementBytes(proof);
  const signed =
    statement !== undefined && (await isSignedBy(key, statement, base64urlBytes(proof.signature)));
  return checked('signature', signed, [
    `signed at ${new Date(proof.signedAt).toISOString()} by ${key.kid}`,
    'the key did not sign this batch: the root, a count, the time or the ledger id was changed',
  ]);
};
