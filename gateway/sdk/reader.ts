// For readers of the ledger's topics: proves that nothing is missing. Every message of ledger.events.v1 names its place,
// its hash and the hash before it; ledger.heads.v1 says, with a signature, what the hash at a place is. The Kafka client
// is its user's: this takes messages as clients hand them over.
import { parseProof } from '#proofs/bundle-reader.ts';
import type { JsonValue } from '#proofs/canonical.ts';
import { base64urlBytes } from './digest.ts';
import { isSignedBy, trustedKeys } from './keys.ts';
import { isUnderRoot, statementBytes } from './proof.ts';

type Text = string | Uint8Array | null | undefined;

/** A message as Kafka clients hand it over; the value is not looked at. */
export interface LedgerMessage {
  readonly key: Text;
  readonly headers?: { readonly [name: string]: Text | readonly Text[] } | undefined;
}

/** Where a reader stands in a tenant's chain: keep it together with what was made of the fact. */
export interface ReaderPosition {
  readonly tenant: string;
  readonly seq: number;
  /** Of the fact at `seq`, in lower-case hexadecimal. */
  readonly hash: string;
}

export type Taken =
  /** The fact that comes next: the reader stands there now. */
  | ({ readonly kind: 'next'; readonly id: string; readonly type: string } & ReaderPosition)
  /** Sent again: leave it out. */
  | ({ readonly kind: 'repeated' } & ReaderPosition)
  /** Facts are missing before it: get them from the ledger (`from` to `to`, both included), then go on from there. */
  | { readonly kind: 'gap'; readonly tenant: string; readonly from: number; readonly to: number }
  /** It does not follow from the fact before, or is no fact: trust nothing of it, and ask the ledger. */
  | { readonly kind: 'broken'; readonly tenant: string; readonly message: string };

export type Covered =
  /** The reader has everything up to the signed head, and it is what was signed. */
  | ({ readonly kind: 'complete' } & ReaderPosition)
  /** The reader is not there yet: what lies between is on its way, or is missing. */
  | { readonly kind: 'behind'; readonly tenant: string; readonly missing: number }
  /** The reader stands beyond it: a newer head will come. */
  | { readonly kind: 'beyond'; readonly tenant: string }
  /** The head is not signed by a trusted key, or signs another history than was read. */
  | { readonly kind: 'refused'; readonly tenant: string; readonly message: string };

export interface LedgerReader {
  /** Moves the reader's position only for `next`. */
  readonly take: (message: LedgerMessage) => Taken;
  /** The value of a message of `ledger.heads.v1` against where the reader stands. Never rejects. */
  readonly covered: (head: Text) => Promise<Covered>;
  readonly position: (tenant: string) => ReaderPosition | undefined;
  /** Goes on from a fact that came another way, for example from the ledger's HTTP interface after a gap. */
  readonly moveTo: (position: ReaderPosition) => void;
}

export interface LedgerReaderOptions {
  /** The keys that heads are believed by, as a JWK Set; never ones that came over the topic. */
  readonly jwks: unknown;
  /** Where the reader stood when it ended. */
  readonly positions?: Iterable<ReaderPosition>;
}

const GENESIS = '0'.repeat(64);
const HASH = /^[0-9a-f]{64}$/;
const SEQ = /^[1-9]\d{0,15}$/;

export const ledgerReader = ({ jwks, positions = [] }: LedgerReaderOptions): LedgerReader => {
  const places = new Map<string, ReaderPosition>();
  for (const position of positions) places.set(position.tenant, position);
  return {
    position: (tenant) => places.get(tenant),
    moveTo: ({ tenant, seq, hash }) => void places.set(tenant, { tenant, seq, hash }),
    take: (message) => {
      const taken = takenOf(message, (tenant) => places.get(tenant) ?? { tenant, seq: 0, hash: GENESIS });
      if (taken.kind === 'next') {
        const { tenant, seq, hash } = taken;
        places.set(tenant, { tenant, seq, hash });
      }
      return taken;
    },
    covered: async (head) => {
      try {
        return await coveredBy(textOf(head) ?? '', jwks, places);
      } catch (error) {
        return { kind: 'refused', tenant: '', message: `it cannot be read: ${(error as Error).message}` };
      }
    },
  };
};

const textOf = (value: Text | readonly Text[]): string | undefined => {
  if (typeof value === 'string') return value;
  if (value instanceof Uint8Array) return new TextDecoder().decode(value);
  return Array.isArray(value) ? textOf(value[0] as Text) : undefined;
};

const takenOf = (
  { key, headers = {} }: LedgerMessage,
  placeOf: (tenant: string) => ReaderPosition,
): Taken => {
  const tenant = textOf(key) ?? '';
  const header = (name: string): string => textOf(headers[name]) ?? '';
  const [place, hash, prevHash] = [header('seq'), header('hash'), header('prev_hash')];
  if (tenant === '' || !SEQ.test(place) || !HASH.test(hash) || !HASH.test(prevHash))
    return {
      kind: 'broken',
      tenant,
      message: 'it is no message of a fact: key, seq, hash or prev_hash is missing',
    };
  const seq = Number(place);
  const before = placeOf(tenant);
  if (seq === before.seq && hash !== before.hash)
    return { kind: 'broken', tenant, message: `${tenant}/${seq} came before with another hash` };
  if (seq <= before.seq) return { kind: 'repeated', tenant, seq, hash };
  if (seq > before.seq + 1) return { kind: 'gap', tenant, from: before.seq + 1, to: seq - 1 };
  if (prevHash !== before.hash)
    return {
      kind: 'broken',
      tenant,
      message: `${tenant}/${seq} does not follow from the fact that was read before it`,
    };
  return { kind: 'next', tenant, seq, hash, id: header('id'), type: header('type') };
};

const coveredBy = async (
  text: string,
  jwks: unknown,
  places: ReadonlyMap<string, ReaderPosition>,
): Promise<Covered> => {
  const head = JSON.parse(text) as { tenant?: unknown; seq?: unknown; hash?: unknown; proof?: JsonValue };
  const tenant = typeof head.tenant === 'string' ? head.tenant : '';
  const { seq, hash } = head;
  if (typeof seq !== 'number' || typeof hash !== 'string' || !HASH.test(hash))
    return { kind: 'refused', tenant, message: 'it is no head: seq or hash is missing' };
  const message = await unsigned(hash, head.proof, jwks);
  if (message !== undefined) return { kind: 'refused', tenant, message };
  const at = places.get(tenant) ?? { tenant, seq: 0, hash: GENESIS };
  if (at.seq < seq) return { kind: 'behind', tenant, missing: seq - at.seq };
  if (at.seq > seq) return { kind: 'beyond', tenant };
  return at.hash === hash
    ? { kind: 'complete', ...at }
    : { kind: 'refused', tenant, message: `another fact is signed as ${tenant}/${seq} than was read` };
};

/** Why the hash is not believed; nothing when a trusted key signed it. */
const unsigned = async (
  hash: string,
  document: JsonValue | undefined,
  jwks: unknown,
): Promise<string | undefined> => {
  const proof = parseProof(document);
  const keys = await trustedKeys(jwks);
  const key = keys.find(({ kid }) => kid === proof.kid);
  if (!key) return `the key ${proof.kid.slice(0, 80)} is none of those given`;
  if (!(await isUnderRoot(hash, proof))) return 'the paths do not lead from this hash to the signed root';
  const statement = statementBytes(proof);
  const signed = statement && (await isSignedBy(key, statement, base64urlBytes(proof.signature)));
  return signed ? undefined : 'the key did not sign it';
};
