// What ledger.heads.v1 says of each tenant, believed only under the signature that comes with it: how far the facts on
// ledger.events.v1 must reach.
import { parseProof } from '#proofs/bundle-reader.ts';
import { parseStrictBytes } from '#proofs/canonical.ts';
import { proofFault } from '#proofs/checkpoint.ts';
import type { VerificationKey } from '#proofs/keys/public-key.ts';
import { type Seq, type Sha256, seq, sha256, type TenantId, tenantId } from '#schemas/ids.ts';
import { CarryError } from '#streams/carry.ts';
import type { KafkaConnection } from './connect.ts';
import { HEADS_TOPIC } from './relay.ts';
import { wholeTopic } from './whole-topic.ts';

export interface AnnouncedHeads {
  readonly ledgerId: string;
  /** The last one of each tenant. */
  readonly heads: ReadonlyMap<TenantId, { readonly seq: Seq; readonly hash: Sha256 }>;
}

interface Announced {
  readonly ledgerId: string;
  readonly seq: Seq;
  readonly hash: Sha256;
}

/** Throws `CarryError` where one is not signed by a key of these, or they are of several ledgers; `KafkaError`. */
export const announcedHeads = async (
  connection: KafkaConnection,
  keys: readonly VerificationKey[],
  signal: AbortSignal,
): Promise<AnnouncedHeads | undefined> => {
  const { topic, portions } = await wholeTopic(connection, HEADS_TOPIC);
  const newest = new Map<string, { readonly value: Buffer; readonly where: string }>();
  for await (const { partition, messages } of portions(signal))
    for (const { key, value, offset } of messages) {
      const where = `${topic}, partition ${partition}, offset ${offset}`;
      if (value) newest.set(String(key), { value, where });
      else newest.delete(String(key));
    }
  if (signal.aborted) return undefined;
  const heads = new Map<TenantId, Announced>();
  for (const [key, { value, where }] of newest)
    heads.set(tenantId(key), readHead({ key, value, where }, keys));
  const ledgers = new Set([...heads.values()].map(({ ledgerId }) => ledgerId));
  const [ledgerId] = ledgers;
  if (ledgerId === undefined)
    throw new CarryError(
      'gap',
      `${topic} holds no heads: nothing says how far the facts must reach, and of which ledger`,
    );
  if (ledgers.size > 1)
    throw new CarryError(
      'other-ledger',
      `${topic} holds heads of ${ledgers.size} ledgers (${[...ledgers].join(', ')}): each ledger needs topics of its own (PROV_LEDGER_KAFKA_PREFIX)`,
    );
  return { ledgerId, heads };
};

const readHead = (
  { key, value, where }: { readonly key: string; readonly value: Buffer; readonly where: string },
  keys: readonly VerificationKey[],
): Announced => {
  const parsed = parseStrictBytes(value);
  const said = (parsed.ok ? parsed.value : {}) as { readonly [name: string]: never };
  let head: Announced & { readonly proof: ReturnType<typeof parseProof> };
  try {
    head = {
      ledgerId: String(said['ledger_id']),
      seq: seq(Number(said['seq'])),
      hash: sha256(String(said['hash'])),
      proof: parseProof(said['proof']),
    };
  } catch (cause) {
    throw new CarryError(
      'broken',
      `${key}: its head cannot be read (${where}): ${(cause as Error).message}`,
      { cause },
    );
  }
  const { ledgerId, seq: at, hash, proof } = head;
  const trusted = keys.find(({ kid }) => kid === proof.kid);
  if (!trusted)
    throw new CarryError(
      'unknown-key',
      `${key}: its head is signed with ${proof.kid}, which is not trusted (${where}): put the keys folder back (PROV_LEDGER_KEYS_DIR), or name the public keys with --jwks`,
    );
  if (said['tenant'] !== key || proof.ledgerId !== ledgerId || proofFault(hash, proof, trusted) !== undefined)
    throw new CarryError('unsigned', `${key}: the signature over its head does not hold (${where})`);
  return { ledgerId, seq: at, hash };
};
