/**
 * Keys in a folder of this machine. Every key stands in `<kid>.pem` (PKCS #8, mode 0600) for ever; `active.pem` is
 * a hard link to the one that signs. A link is made whole or not at all, so two processes that start at once agree
 * on one key, and a crash at any line leaves either the old key active or the new one, never half a key.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  randomUUID,
  sign,
} from 'node:crypto';
import { link, mkdir, open, readdir, rename, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { toLowS } from './p256.ts';
import {
  jwks,
  type KeySet,
  keyFromJwk,
  type SignatureAlgorithm,
  type VerificationKey,
} from './public-key.ts';
import type { Signer } from './signer.ts';

export type LocalKeysOptions = {
  readonly folder: string;
  /** For a key made now; keys that exist keep theirs. Ed25519 unless said otherwise. */
  readonly algorithm?: SignatureAlgorithm;
};

/** What a folder holds at one moment. */
export type LocalKeys = {
  readonly signer: Signer;
  /** The active key first, then the retired ones, which keep verifying. */
  readonly keys: readonly VerificationKey[];
  jwks(): KeySet;
  /** Makes a new key, makes it active, and returns the folder's new contents. */
  rotate(algorithm?: SignatureAlgorithm): Promise<LocalKeys>;
};

/** `too-open`: close the file or folder to others, and replace a key that others could read. `not-a-key`: restore it. */
export type KeyFolderFaultCode = 'too-open' | 'not-a-key';

export class KeyFolderFault extends Error {
  readonly code: KeyFolderFaultCode;
  constructor(code: KeyFolderFaultCode, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'KeyFolderFault';
    this.code = code;
  }
}

const ACTIVE = 'active.pem';
const KEY_FILE = /^[A-Za-z0-9_-]{43}\.pem$/;

/** Opens the folder, at first start with a new folder (0700) and a new key. */
export async function localKeys({ folder, algorithm = 'Ed25519' }: LocalKeysOptions): Promise<LocalKeys> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await refuseOpen(folder, await stat(folder), 0o022, '700');
  const active = (await readKey(join(folder, ACTIVE))) ?? (await createFirst(folder, algorithm));
  await linkOnce(join(folder, ACTIVE), join(folder, `${publicHalf(active).kid}.pem`));
  const current = publicHalf(active);
  const retired = await retiredKeys(folder, current.kid);
  const keys = Object.freeze([current, ...retired]);
  return Object.freeze({
    signer: signerOf(active, current),
    keys,
    jwks: () => jwks(keys),
    rotate: async (next: SignatureAlgorithm = current.algorithm) => {
      await replaceActive(folder, next);
      return localKeys({ folder });
    },
  });
}

async function createFirst(folder: string, algorithm: SignatureAlgorithm): Promise<KeyObject> {
  const made = await writeNewKey(folder, algorithm);
  // Whoever links first has made the ledger's key; the loser's was never seen by anyone and goes.
  await linkOnce(made.file, join(folder, ACTIVE));
  await unlink(made.file);
  await syncFolder(folder);
  const active = await readKey(join(folder, ACTIVE));
  if (active === undefined)
    throw new KeyFolderFault('not-a-key', `${join(folder, ACTIVE)} vanished: start again`);
  return active;
}

/** The new key gets its own name before it becomes active, so that no signature of it can outlive the key. */
async function replaceActive(folder: string, algorithm: SignatureAlgorithm): Promise<void> {
  const made = await writeNewKey(folder, algorithm);
  await linkOnce(made.file, join(folder, `${made.kid}.pem`));
  await rename(made.file, join(folder, ACTIVE));
  await syncFolder(folder);
}

async function writeNewKey(
  folder: string,
  algorithm: SignatureAlgorithm,
): Promise<{ file: string; kid: string }> {
  const key = await generate(algorithm);
  const file = join(folder, `.new-${randomUUID()}`);
  const handle = await open(file, 'wx', 0o600);
  try {
    await handle.writeFile(key.export({ type: 'pkcs8', format: 'pem' }));
    await handle.sync();
  } finally {
    await handle.close();
  }
  return { file, kid: publicHalf(key).kid };
}

async function generate(algorithm: SignatureAlgorithm): Promise<KeyObject> {
  const pair =
    algorithm === 'Ed25519'
      ? await promisify(generateKeyPair)('ed25519')
      : await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' });
  return pair.privateKey;
}

async function retiredKeys(folder: string, activeKid: string): Promise<VerificationKey[]> {
  const names = (await readdir(folder))
    .filter((name) => KEY_FILE.test(name) && name !== `${activeKid}.pem`)
    .sort();
  const keys: VerificationKey[] = [];
  for (const name of names) {
    const path = join(folder, name);
    const key = await readKey(path);
    if (key === undefined) continue;
    const half = publicHalf(key);
    if (`${half.kid}.pem` !== name)
      throw new KeyFolderFault('not-a-key', `${path} holds another key, ${half.kid}: rename it`);
    keys.push(half);
  }
  return keys;
}

async function readKey(path: string): Promise<KeyObject | undefined> {
  let text: string;
  try {
    const handle = await open(path, 'r');
    try {
      // The mode of the very file that is read, not of a name that may point elsewhere by now.
      await refuseOpen(path, await handle.stat(), 0o077, '600');
      text = await handle.readFile('utf8');
    } finally {
      await handle.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return createPrivateKey(text);
  } catch (cause) {
    throw new KeyFolderFault(
      'not-a-key',
      `${path} is not a PKCS #8 private key: restore it from your backup`,
      cause,
    );
  }
}

function publicHalf(key: KeyObject): VerificationKey {
  const { kty, crv, x, y } = createPublicKey(key).export({ format: 'jwk' });
  return keyFromJwk(y === undefined ? { kty, crv, x } : { kty, crv, x, y });
}

// On this thread: a signature takes 40 microseconds, the way to the thread pool and back several times that, and every
// commit batch waits for it.
function signerOf(key: KeyObject, { kid, algorithm, publicJwk }: VerificationKey): Signer {
  return Object.freeze({
    kid,
    algorithm,
    publicJwk,
    sign: async (bytes: Uint8Array) =>
      algorithm === 'Ed25519'
        ? sign(null, bytes, key)
        : toLowS(sign('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' })),
  });
}

async function refuseOpen(
  path: string,
  { mode }: { mode: number },
  forbidden: number,
  wanted: string,
): Promise<void> {
  // Windows has no such bits; there the folder's access list is what protects it.
  if (process.platform === 'win32' || (mode & forbidden) === 0) return;
  const now = (mode & 0o777).toString(8);
  throw new KeyFolderFault(
    'too-open',
    `${path} is open to others (mode ${now}): run chmod ${wanted} ${path}`,
  );
}

async function linkOnce(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** Makes new names durable; a folder cannot be opened on Windows, where the file's own sync has to do. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
