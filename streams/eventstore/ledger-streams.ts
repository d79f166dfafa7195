// The two small streams beside the chains: the ledger's own id, and the names of its tenants.
import { randomUUID } from 'node:crypto';
import { ANY, jsonEvent } from '@eventstore/db-client';
import { isUuid, type TenantId, tenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import { appendEvents, type EventStore, eventStoreError, readEvents } from './connect.ts';
import { eventId } from './record.ts';

/** The ledger's id; made, once, where there is none: `wanted`, or a random one. Throws `StreamError`. */
export const openIdentity = async (store: EventStore, wanted: string = randomUUID()): Promise<string> => {
  const { identity } = store.streams;
  const known = await readIdentity(store);
  if (known !== undefined) return known;
  const event = jsonEvent({
    id: eventId(identity, wanted),
    type: 'ledger.Identity',
    data: { ledger_id: wanted },
  });
  try {
    // Whoever loses this race takes the winner's.
    await appendEvents(store, identity, { after: -1, events: [event] });
  } catch (error) {
    throw eventStoreError(error);
  }
  const made = await readIdentity(store);
  if (made !== undefined) return made;
  throw new StreamError(
    'corrupt',
    `${identity} holds no id: restore it, every signature names the id it held`,
  );
};

const readIdentity = async (store: EventStore): Promise<string | undefined> => {
  const [event] = await readEvents(store, store.streams.identity, { from: 0, count: 1 });
  if (!event) return undefined;
  const id = (event.data as { readonly ledger_id?: unknown }).ledger_id;
  if (typeof id === 'string' && isUuid(id)) return id;
  throw new StreamError('corrupt', `${store.streams.identity} holds something that is no ledger id`);
};

export interface TenantNames {
  /** Before the tenant's first fact: a name without facts is harmless, facts without a name would not be seen. */
  readonly announce: (tenant: TenantId) => Promise<void>;
  /** In order; also those that were announced and have no fact. */
  readonly all: () => Promise<readonly TenantId[]>;
}

const PAGE = 1_000;

export const tenantNames = (store: EventStore): TenantNames => {
  const stream = store.streams.tenants;
  const names = new Set<TenantId>();
  let read = 0;
  const all = async (): Promise<readonly TenantId[]> => {
    for (;;) {
      const events = await readEvents(store, stream, { from: read, count: PAGE });
      for (const event of events) {
        names.add(tenantId((event.data as { readonly tenant: string }).tenant));
        read = Math.max(read, Number(event.revision) + 1);
      }
      if (events.length < PAGE) return [...names].sort();
    }
  };
  return {
    all,
    announce: async (tenant) => {
      if (names.has(tenant) || (await all()).includes(tenant)) return;
      const { client, credentials } = store;
      // The same event each time: two processes that announce at once leave one, or two that say the same.
      const event = jsonEvent({ id: eventId(stream, tenant), type: 'ledger.TenantNamed', data: { tenant } });
      await client.appendToStream(stream, event, {
        expectedRevision: ANY,
        credentials,
        requiresLeader: true,
      });
    },
  };
};
