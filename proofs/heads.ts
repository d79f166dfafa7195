// The ends of all chains at one moment, signed, to be kept where whoever may change the database cannot reach. A chain
// that verifies can still be short: cut at its tail, or restored from an older backup. Only what was kept outside shows
// it: the fact at each of these places must be there, with this hash, for ever.
import {
  type Instant,
  instant,
  instantText,
  isInstant,
  isUuid,
  type Seq,
  type Sha256,
  sha256,
  type TenantId,
  tenantId,
} from '#schemas/ids.ts';
import { canonicalize, parseStrictBytes } from './canonical.ts';
import { type Envelope, type EnvelopeFault, openEnvelope, sealEnvelope } from './dsse.ts';
import type { VerificationKey } from './keys/public-key.ts';
import type { Signer } from './keys/signer.ts';

export const HEADS_TYPE = 'application/vnd.prov-ledger.heads+json';

export interface KeptHead {
  readonly tenant: TenantId;
  readonly seq: Seq;
  readonly hash: Sha256;
}

export interface HeadsStatement {
  readonly ledgerId: string;
  readonly madeAt: Instant;
  /** By tenant; those without facts are not in it. */
  readonly heads: readonly KeptHead[];
}

export type HeadsRead =
  | { readonly ok: true; readonly statement: HeadsStatement; readonly kid: string }
  | { readonly ok: false; readonly fault: EnvelopeFault };

/** 64 MiB: heads of some 400,000 tenants. */
const HEADS_BYTES_MAX = 64 << 20;

/** Throws `SigningFault`. */
export const signHeads = async (signer: Signer, statement: HeadsStatement): Promise<Envelope> =>
  await sealEnvelope(signer, { payloadType: HEADS_TYPE, body: Buffer.from(textOf(statement)) });

const textOf = ({ ledgerId, madeAt, heads }: HeadsStatement): string =>
  canonicalize({
    version: 1,
    ledger_id: ledgerId,
    made_at: instantText(madeAt),
    heads: heads
      .filter(({ seq }) => seq > 0)
      .map(({ tenant, seq, hash }) => ({ tenant, seq, hash }))
      .sort((one, other) => (one.tenant < other.tenant ? -1 : 1)),
  });

/** Reads an envelope that came back from outside; the keys are those that the caller trusts. */
export const readHeads = (text: string, keys: readonly VerificationKey[]): HeadsRead => {
  let envelope: unknown;
  try {
    envelope = JSON.parse(text);
  } catch {
    return { ok: false, fault: 'malformed' };
  }
  const opened = openEnvelope(envelope, { payloadType: HEADS_TYPE, keys });
  if (!opened.ok) return opened;
  const statement = statementOf(opened.body);
  return statement ? { ok: true, statement, kid: opened.kid } : { ok: false, fault: 'malformed' };
};

const statementOf = (body: Uint8Array): HeadsStatement | undefined => {
  const parsed = parseStrictBytes(body, { maxBytes: HEADS_BYTES_MAX });
  if (!parsed.ok) return undefined;
  const { version, ledger_id, made_at, heads } = (parsed.value ?? {}) as {
    readonly [name: string]: unknown;
  };
  if (version !== 1 || typeof ledger_id !== 'string' || !isUuid(ledger_id)) return undefined;
  if (typeof made_at !== 'string' || !isInstant(made_at) || !Array.isArray(heads)) return undefined;
  const read = heads.map(headOf);
  if (!read.every((head) => head !== undefined)) return undefined;
  return { ledgerId: ledger_id, madeAt: instant(made_at), heads: read };
};

const headOf = (value: unknown): KeptHead | undefined => {
  const { tenant, seq, hash } = (value ?? {}) as { readonly [name: string]: unknown };
  if (typeof tenant !== 'string' || typeof hash !== 'string') return undefined;
  if (!Number.isSafeInteger(seq) || (seq as number) < 1) return undefined;
  try {
    return { tenant: tenantId(tenant), seq: seq as Seq, hash: sha256(hash) };
  } catch {
    return undefined;
  }
};
