// A ledger from one store into another, as a command line names them.
import { CliError } from '#gateway/cli/exit.ts';
import type { CopyRequest } from '#gateway/cli/world.ts';
import { keysFromJwks } from '#proofs/keys/public-key.ts';
import type { Signer } from '#proofs/keys/signer.ts';
import { type ShareTaker, trustIn } from '#streams/carry.ts';
import { type Copied, type CopySource, copyLedger } from '#streams/copy.ts';
import { beginArrival, postgresShareTaker } from '#streams/postgres/arrival.ts';
import { connect, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { belongingsOn } from '#streams/postgres/departure.ts';
import type { Configuration } from '../../configuration.ts';
import { migrateDatabase, openDatabase, prepareDatabase } from '../ledger/database.ts';
import { openDatabases, placeTenants } from '../ledger/shards.ts';
import { commandError, openKeys } from '../ledger/wire.ts';

export interface Carrier {
  readonly configuration: Configuration;
  /** Names the EventStoreDB. */
  readonly env: NodeJS.ProcessEnv;
}

/** Nothing when the signal came. Throws what a command line can end with. */
export const copy = async (
  { configuration, env }: Carrier,
  { from, to, keys, signal, onProgress }: CopyRequest,
): Promise<Copied | undefined> => {
  try {
    await using stack = new AsyncDisposableStack();
    const opening: Opening = { configuration, stack, signer: (await openKeys(configuration)).signer };
    const source = await openSource(opening, addressOf(from, '--from', env));
    const { ledgerId } = source.store;
    const target = await openTarget(opening, addressOf(to, '--to', env), ledgerId);
    const trust = trustIn(ledgerId, keysFromJwks(keys));
    const copied = await copyLedger({ source, taker: target.taker, trust, signal, onProgress });
    if (copied) await target.end();
    return copied;
  } catch (error) {
    throw commandError(error);
  }
};

interface Opening {
  readonly configuration: Configuration;
  readonly stack: AsyncDisposableStack;
  readonly signer: Signer;
}

type Address =
  | { readonly kind: 'configured' }
  | { readonly kind: 'postgres' | 'eventstore'; readonly url: string };

const addressOf = (raw: string, option: string, env: NodeJS.ProcessEnv): Address => {
  if (raw === 'postgres') return { kind: 'configured' };
  if (/^postgres(?:ql)?:\/\//.test(raw)) return { kind: 'postgres', url: raw };
  if (/^esdb(?:\+discover)?:\/\//.test(raw)) return { kind: 'eventstore', url: raw };
  const { EVENTSTORE_URL: url } = env;
  if (raw === 'eventstore' && url) return { kind: 'eventstore', url };
  throw new CliError(
    'usage',
    'no-such-store',
    raw === 'eventstore'
      ? `${option} eventstore: set EVENTSTORE_URL to its address, or give the address itself (esdb://…)`
      : `${option}: give postgres, postgres://…, eventstore or esdb://…`,
  );
};

const urlOf = async ({ configuration, stack }: Opening, address: Address) =>
  address.kind === 'configured'
    ? stack.use(await openDatabase(configuration))
    : { url: 'url' in address ? address.url : '', embedded: false };

const openSource = async (opening: Opening, address: Address): Promise<CopySource> => {
  const { stack, signer } = opening;
  if (address.kind === 'eventstore') {
    const [{ connect: connectTo }, { eventStoreStreamStore }, { belongingsInStreams }] = await Promise.all([
      import('#streams/eventstore/connect.ts'),
      import('#streams/eventstore/store.ts'),
      import('#streams/eventstore/departure.ts'),
    ]);
    const store = stack.use(connectTo({ url: address.url }));
    return {
      store: stack.use(await eventStoreStreamStore({ store, signer })),
      belongingsOf: belongingsInStreams(store),
    };
  }
  const database = await urlOf(opening, address);
  await prepareDatabase({ ...database, [Symbol.asyncDispose]: async () => undefined });
  const pool = connect({ url: database.url, max: 3, role: RUNTIME_ROLE, name: 'prov-ledger copy' });
  stack.defer(() => pool.end());
  const { databases, store } = stack.use(
    await openDatabases({ shards: shardsOf(opening, address), poolSize: 3 }, pool, { signer }),
  );
  return { store, belongingsOf: belongingsOn(databases, store.ledgerId) };
};

/** An address is of one database, whatever is configured. */
const shardsOf = ({ configuration }: Opening, { kind }: Address): Configuration['shards'] =>
  kind === 'configured' ? configuration.shards : [];

interface Target {
  readonly taker: ShareTaker;
  /** Everything is there: it may be used. */
  readonly end: () => Promise<void>;
}

const openTarget = async (opening: Opening, address: Address, ledgerId: string): Promise<Target> => {
  const { stack } = opening;
  if (address.kind === 'eventstore') {
    const [{ connect: connectTo }, { eventStoreShareTaker }] = await Promise.all([
      import('#streams/eventstore/connect.ts'),
      import('#streams/eventstore/arrival.ts'),
    ]);
    const store = stack.use(connectTo({ url: address.url }));
    return { taker: await eventStoreShareTaker({ store, ledgerId }), end: async () => undefined };
  }
  const { url } = await urlOf(opening, address);
  await migrateDatabase(url);
  const pool = connect({ url, max: 3, name: 'prov-ledger copy' });
  stack.defer(() => pool.end());
  const arrival = await beginArrival(pool, { source: 'a copy', ledgerId });
  const placed = { ...opening.configuration, shards: shardsOf(opening, address) };
  return {
    taker: postgresShareTaker(pool, ledgerId),
    end: async () => {
      await arrival.end();
      await placeTenants(placed, { url, signer: opening.signer, actor: 'prov-ledger copy' });
    },
  };
};
