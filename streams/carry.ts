// The law of carrying: facts that are recorded already come into another store as they are, share by share. Seq, hashes,
// signatures and paths stay what they were, so that every proof that was handed out is given again byte for byte.
// Nothing is stored before it was checked here: each fact's own bytes, its link to the fact before, and the signature over
// the share it came in, under keys that whoever restores brings.
import { type ChainFault, type ChainPosition, linkFault } from '#proofs/chain.ts';
import type { VerificationKey } from '#proofs/keys/public-key.ts';
import { type SignedShare, shareFault } from '#proofs/share.ts';
import type { Recorded } from '#schemas/event.ts';
import type { Seq, Sha256, TenantId } from '#schemas/ids.ts';
import type { ReadRange, StreamStore } from './stream.ts';

export interface CarriedFact {
  readonly fact: Recorded;
  /** SHA-256 of the request that claimed the id, where it differs from the payload's and travels with the fact. */
  readonly requestHash?: Sha256 | undefined;
}

/** All facts of one tenant that one signature covers. */
export interface CarriedShare {
  readonly share: SignedShare;
  readonly facts: readonly CarriedFact[];
}

export type CarryErrorCode =
  /** The store that should take the facts has others. Give an empty one, or go on with the source that began it. */
  | 'not-empty'
  /** Facts that must come next are not in the source. Nothing that can be done here brings them: take another source. */
  | 'gap'
  /** A fact is not what was hashed, or does not follow from the one before. Take another source. */
  | 'broken'
  /** A signature does not hold, or is not there. Take another source. */
  | 'unsigned'
  /** A signature is by a key that is not trusted. Give the ledger's public keys. */
  | 'unknown-key'
  /** The facts are another ledger's than the store's. */
  | 'other-ledger'
  /** Source and store hold different facts at one place. One of the two was rewritten. */
  | 'other-history'
  /** A head that was announced is not among the facts. Take another source. */
  | 'head-missing'
  /** Another program brought facts of the tenant meanwhile, or its move was begun anew. Nothing was stored. */
  | 'overtaken';

export class CarryError extends Error {
  override readonly name = 'CarryError';
  readonly code: CarryErrorCode;
  constructor(code: CarryErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** A store as it takes facts from elsewhere. Throws `StreamError`, and `CarryError` as said. */
export interface ShareTaker {
  readonly ledgerId: string;
  /** Where the facts end that were taken; before the first, the start of a chain. */
  readonly position: (tenant: TenantId) => Promise<ChainPosition>;
  /** The hashes of facts that were taken, in order; both bounds included. */
  readonly hashes: (
    tenant: TenantId,
    range: Required<Pick<ReadRange, 'from' | 'to'>>,
  ) => Promise<readonly Sha256[]>;
  /** Shares of one tenant that follow from its position, all of them or none. Throws `overtaken`. */
  readonly take: (tenant: TenantId, shares: readonly CarriedShare[]) => Promise<void>;
}

/** What facts need beside themselves to be taken by another store. */
export interface Belongings {
  /** The shares that have facts in the range, by the seq of their last fact. */
  readonly shares: ReadonlyMap<Seq, SignedShare>;
  readonly requestHashes: ReadonlyMap<Seq, Sha256>;
}

export interface FactRange {
  readonly tenant: TenantId;
  readonly from: Seq;
  /** Included. */
  readonly to: Seq;
}

/** Throws `StreamError`, `corrupt` where no signed batch covers a fact. */
export type BelongingsOf = (range: FactRange) => Promise<Belongings>;

/** The shares of a tenant in a store, from behind `after` on, which ends one. */
export const carriedShares = async function* (
  store: Pick<StreamStore, 'read'>,
  belongingsOf: BelongingsOf,
  { tenant, after }: { readonly tenant: TenantId; readonly after: Seq },
): AsyncGenerator<CarriedShare> {
  let facts: CarriedFact[] = [];
  for await (const page of store.read(tenant, { from: (after + 1) as Seq })) {
    const from = page[0]?.seq as Seq;
    const { shares, requestHashes } = await belongingsOf({ tenant, from, to: page.at(-1)?.seq as Seq });
    for (const fact of page) {
      facts.push({ fact, requestHash: requestHashes.get(fact.seq) });
      const share = shares.get(fact.seq);
      if (!share) continue;
      yield { share, facts };
      facts = [];
    }
  }
};

export interface Trust {
  readonly ledgerId: string;
  /** Those that whoever restores trusts, by kid. */
  readonly keys: ReadonlyMap<string, VerificationKey>;
}

export const trustIn = (ledgerId: string, keys: readonly VerificationKey[]): Trust => ({
  ledgerId,
  keys: new Map(keys.map((key) => [key.kid, key])),
});

const BROKEN: { readonly [Fault in ChainFault]: string } = {
  'wrong-tenant': 'it belongs to another tenant',
  'seq-gap': 'it is not the one that comes next',
  'broken-link': 'it names another fact before it',
  'time-went-back': 'it was recorded before the fact before it',
  'hash-mismatch': 'its bytes are not those that were hashed',
};

/** Throws `gap` or `broken`. `where`: the place in the source, for whoever must find it. */
export const checkLink = (fact: Recorded, before: ChainPosition, where: string): void => {
  const { tenant, seq } = fact;
  const fault = linkFault(fact, tenant, before);
  if (fault === undefined) return;
  if (fault === 'seq-gap')
    throw new CarryError(
      'gap',
      `${tenant}: fact ${seq} comes after fact ${before.seq} (${where}): facts ${before.seq + 1} to ${seq - 1} are missing`,
    );
  throw new CarryError('broken', `${tenant}: fact ${seq} does not hold (${where}): ${BROKEN[fault]}`);
};

/** Of facts whose links were checked. Throws `unsigned`, `unknown-key`, `other-ledger`. */
export const checkShare = ({ share, facts }: CarriedShare, trust: Trust, where: string): void => {
  const [first] = facts;
  const { proof } = share;
  const at = `${first?.fact.tenant}: the signature over facts ${share.first} to ${share.first + share.count - 1} (${where})`;
  if (proof.ledgerId !== trust.ledgerId)
    throw new CarryError(
      'other-ledger',
      `${at} is of the ledger ${proof.ledgerId}, not of ${trust.ledgerId}`,
    );
  const key = trust.keys.get(proof.kid);
  if (!key)
    throw new CarryError(
      'unknown-key',
      `${at} is by the key ${proof.kid}, which is not trusted: put the keys folder back (PROV_LEDGER_KEYS_DIR), or name the public keys with --jwks`,
    );
  const hashes = facts.map(({ fact }) => fact.hash);
  const fault = first?.fact.seq === share.first ? shareFault(share, hashes, key) : 'counts';
  if (fault !== undefined) throw new CarryError('unsigned', `${at} does not hold: ${fault}`);
};

const FACTS_AT_ONCE = 4_000;
const TENANT_FACTS_AT_ONCE = 1_000;

export interface Carrier {
  /** Takes a share that was checked; stores what has gathered now and then. */
  readonly put: (tenant: TenantId, carried: CarriedShare) => Promise<void>;
  /** Stores what is left. */
  readonly flush: () => Promise<void>;
}

/** Gathers shares, so that a quiet ledger's shares of one fact each do not cost a transaction each. */
export const carrier = (taker: ShareTaker, onTaken: (facts: number) => void): Carrier => {
  const waiting = new Map<TenantId, CarriedShare[]>();
  const counts = new Map<TenantId, number>();
  let gathered = 0;
  const store = async (tenant: TenantId): Promise<void> => {
    const facts = counts.get(tenant) ?? 0;
    const shares = waiting.get(tenant) ?? [];
    waiting.delete(tenant);
    counts.delete(tenant);
    gathered -= facts;
    await taker.take(tenant, shares);
    onTaken(facts);
  };
  const flush = async (): Promise<void> => {
    for (const tenant of waiting.keys()) await store(tenant);
  };
  return {
    flush,
    put: async (tenant, carried) => {
      const its = waiting.get(tenant) ?? [];
      waiting.set(tenant, its);
      its.push(carried);
      gathered += carried.facts.length;
      const facts = (counts.get(tenant) ?? 0) + carried.facts.length;
      counts.set(tenant, facts);
      if (facts >= TENANT_FACTS_AT_ONCE) await store(tenant);
      if (gathered >= FACTS_AT_ONCE) await flush();
    },
  };
};

/** The facts at a place that was taken before must be the same. Throws `other-history`. */
export const checkRepeats = async (
  taker: ShareTaker,
  tenant: TenantId,
  repeats: ReadonlyMap<Seq, { readonly hash: Sha256; readonly where: string }>,
): Promise<void> => {
  const seqs = [...repeats.keys()];
  const from = seqs.reduce((least, seq) => Math.min(least, seq), Number.MAX_SAFE_INTEGER) as Seq;
  const to = seqs.reduce((most, seq) => Math.max(most, seq), 0) as Seq;
  const stored = await taker.hashes(tenant, { from, to });
  for (const [seq, { hash, where }] of repeats)
    if (stored[seq - from] !== hash)
      throw new CarryError(
        'other-history',
        `${tenant}: fact ${seq} is another in the source (${where}) than what was taken before`,
      );
};
