// Messages of ledger.events.v1 as the facts that come next in their chains: repetitions dropped, gaps and broken hashes
// found. A tenant is in trouble from its first message that does not follow: the rest of it is left out.
import { type ChainPosition, linkFault } from '#proofs/chain.ts';
import type { Recorded } from '#schemas/event.ts';
import { type Instant, type Seq, type Sha256, type TenantId, tenantId } from '#schemas/ids.ts';
import { factOf, type RawMessage } from './fact-message.ts';
import { framedId, type WireSchemas } from './registry.ts';

/** The last fact delivered of a tenant; without its hash where only its place is known. */
export interface Cursor {
  readonly seq: Seq;
  readonly hash?: Sha256;
  readonly recordedAt?: Instant;
}

export interface Trouble {
  readonly tenant: TenantId;
  /** Where the tenant stands. */
  readonly seq: Seq;
  /** What the message was that should have come next. */
  readonly message: string;
}

export interface LiveOptions {
  readonly schemas: Pick<WireSchemas, 'reader' | 'learn'>;
  readonly wanted: (tenant: TenantId) => boolean;
  readonly cursorOf: (tenant: TenantId) => Cursor;
}

export interface Live {
  readonly facts: ReadonlyMap<TenantId, readonly Recorded[]>;
  readonly troubles: readonly Trouble[];
}

/** Never throws: what cannot be read is a trouble of its tenant. */
export const liveFacts = async (
  { schemas, wanted, cursorOf }: LiveOptions,
  messages: readonly RawMessage[],
): Promise<Live> => {
  const facts = new Map<TenantId, Recorded[]>();
  const troubles = new Map<TenantId, Trouble>();
  for (const message of messages) {
    const tenant = tenantOf(message);
    if (tenant === undefined || !wanted(tenant) || troubles.has(tenant)) continue;
    const id = message.value && framedId(message.value);
    if (typeof id === 'number' && !schemas.reader(id)) await schemas.learn(id);
    const its = facts.get(tenant) ?? [];
    const cursor = its.at(-1) ?? cursorOf(tenant);
    const read = readNext(message, schemas, { tenant, cursor });
    if (typeof read === 'string') troubles.set(tenant, { tenant, seq: cursor.seq, message: read });
    else if (read) {
      its.push(read);
      facts.set(tenant, its);
    }
  }
  return { facts, troubles: [...troubles.values()] };
};

/** Nothing where the key is no tenant's name: that is no fact that anybody lacks, whoever wrote it. */
const tenantOf = ({ key }: RawMessage): TenantId | undefined => {
  try {
    return tenantId(key?.toString('utf8') ?? '');
  } catch {
    return undefined;
  }
};

interface After {
  readonly tenant: TenantId;
  readonly cursor: Cursor;
}

/** The fact that comes next; nothing for a repetition; else what is wrong. */
const readNext = (
  message: RawMessage,
  { reader }: LiveOptions['schemas'],
  { tenant, cursor }: After,
): Recorded | string | undefined => {
  try {
    const fact = factOf(message, reader);
    if (fact.seq <= cursor.seq) return undefined;
    const before: ChainPosition = {
      seq: cursor.seq,
      hash: cursor.hash ?? fact.prevHash,
      recordedAt: cursor.recordedAt ?? fact.recordedAt,
    };
    const fault = linkFault(fact, tenant, before);
    return fault === undefined ? fact : `${tenant}/${fact.seq}: ${fault} after ${cursor.seq}`;
  } catch (error) {
    return (error as Error).message;
  }
};
