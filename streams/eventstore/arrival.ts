// Facts from elsewhere into EventStoreDB. A share may be larger than one append: where a run was killed in the midst of
// one, the facts that are there are compared, and the rest follows. The server knows no tenant that arrives: nobody else
// may append until the end.
import { CHAIN_START } from '#proofs/chain.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import { type CarriedShare, CarryError, type ShareTaker } from '#streams/carry.ts';
import { readFacts } from './chain.ts';
import { appendEvents, type EventStore, eventStoreError, lastEvent } from './connect.ts';
import { openIdentity, type TenantNames, tenantNames } from './ledger-streams.ts';
import { decodeFact, encodeFact, type StoredFact } from './record.ts';

export interface EventStoreTakerOptions {
  readonly store: EventStore;
  readonly ledgerId: string;
  /** Bytes in one append at most; 900,000 unless told, below the server's own 1 MiB. */
  readonly maxBatchBytes?: number;
}

/** Makes the streams the ledger's. Throws `CarryError` `not-empty` where they are another's. */
export const eventStoreShareTaker = async ({
  store,
  ledgerId,
  maxBatchBytes = 900_000,
}: EventStoreTakerOptions): Promise<ShareTaker> => {
  const held = await openIdentity(store, ledgerId);
  if (held !== ledgerId)
    throw new CarryError(
      'not-empty',
      `the streams ${store.streams.chainPrefix}… hold the ledger ${held}: use another prefix, or another server`,
    );
  const names = tenantNames(store);
  return {
    ledgerId,
    position: async (tenant) => {
      const last = await lastStored(store, tenant);
      if (!last) return CHAIN_START;
      const { fact, share } = last;
      if (fact.seq === share.first + share.count - 1) return fact;
      const [before] = await readFacts(store, tenant, { from: share.first - 1, to: share.first - 1 });
      return before?.fact ?? CHAIN_START;
    },
    hashes: async (tenant, range) => (await readFacts(store, tenant, range)).map(({ fact }) => fact.hash),
    take: async (tenant, shares) => {
      await put({ store, names, tenant, maxBatchBytes }, shares);
    },
  };
};

const lastStored = async (store: EventStore, tenant: TenantId): Promise<StoredFact | undefined> => {
  const event = await lastEvent(store, store.streams.chain(tenant));
  return event && decodeFact(event, tenant);
};

interface Putting {
  readonly store: EventStore;
  readonly names: TenantNames;
  readonly tenant: TenantId;
  readonly maxBatchBytes: number;
}

const put = async (
  { store, names, tenant, maxBatchBytes }: Putting,
  shares: readonly CarriedShare[],
): Promise<void> => {
  const last = (await lastStored(store, tenant))?.fact;
  if (!last) await names.announce(tenant);
  const all = shares.flatMap(({ share, facts }) =>
    facts.map(({ fact, requestHash }): StoredFact => ({ fact, requestHash, share })),
  );
  const first = all[0]?.fact.seq ?? 0;
  const there = last ? all.find(({ fact }) => fact.seq === last.seq) : undefined;
  if (last && last.seq >= first && there?.fact.hash !== last.hash) throw overtaken(tenant);
  let after = (last?.seq ?? 0) as Seq;
  if (after < first - 1) throw overtaken(tenant);
  for (const facts of appendsOf(
    all.filter(({ fact }) => fact.seq > after),
    maxBatchBytes,
  )) {
    const events = facts.map(encodeFact);
    const { kind } = await appendEvents(store, store.streams.chain(tenant), {
      after: after - 1,
      events,
    }).catch((error: unknown) => {
      throw eventStoreError(error);
    });
    if (kind === 'lost') throw overtaken(tenant);
    after = facts.at(-1)?.fact.seq ?? after;
  }
};

const overtaken = (tenant: TenantId): CarryError =>
  new CarryError(
    'overtaken',
    `${tenant}: somebody else has appended to its stream; stop that, and begin with empty streams`,
  );

const METADATA_BYTES = 2_048;

const appendsOf = function* (
  facts: readonly StoredFact[],
  maxBytes: number,
): Generator<readonly StoredFact[]> {
  let some: StoredFact[] = [];
  let bytes = 0;
  for (const each of facts) {
    const size = Buffer.byteLength(each.fact.payload) + METADATA_BYTES;
    if (some.length > 0 && (bytes + size > maxBytes || some.length === 1_000)) {
      yield some;
      some = [];
      bytes = 0;
    }
    some.push(each);
    bytes += size;
  }
  if (some.length > 0) yield some;
};
