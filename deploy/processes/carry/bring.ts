// A ledger brought into the configured database, from its topics or from exports of its tenants.
import type { BringRequest, BroughtLedger } from '#gateway/cli/world.ts';
import { bringFromExport } from '#gateway/export/bring.ts';
import { fileSource } from '#gateway/ingest/source.ts';
import { EXPORT_LINE_BYTES_MAX } from '#proofs/export.ts';
import { keysFromJwks } from '#proofs/keys/public-key.ts';
import { CarryError, type ShareTaker, trustIn } from '#streams/carry.ts';
import { type Arrival, beginArrival, postgresShareTaker } from '#streams/postgres/arrival.ts';
import { connect, type Pool } from '#streams/postgres/connect.ts';
import type { Configuration } from '../../configuration.ts';
import { brokersOf, registryOf } from '../../kafka-settings.ts';
import { migrateDatabase, openDatabase } from '../ledger/database.ts';
import { placeTenants } from '../ledger/shards.ts';
import { commandError, openKeys } from '../ledger/wire.ts';

/** Nothing when the signal came. Throws what a command line can end with. */
export const bring = async (
  configuration: Configuration,
  request: BringRequest,
): Promise<BroughtLedger | undefined> => {
  try {
    await using database = await openDatabase(configuration);
    await migrateDatabase(database.url);
    const pool = connect({ url: database.url, max: 3, name: 'prov-ledger restore' });
    try {
      const brought =
        request.from === 'kafka'
          ? await fromKafka(configuration, pool, request)
          : await fromExports(pool, { ...request, from: request.from });
      if (brought)
        await placeTenants(configuration, {
          url: database.url,
          signer: (await openKeys(configuration)).signer,
          actor: 'prov-ledger restore',
        });
      return brought;
    } finally {
      await pool.end();
    }
  } catch (error) {
    throw commandError(error);
  }
};

const fromKafka = async (
  configuration: Configuration,
  pool: Pool,
  { keys: set, signal, onProgress }: BringRequest,
): Promise<BroughtLedger | undefined> => {
  // Loaded for whoever asks: the driver is a third of what the program would read at its start.
  const { kafkaConnection } = await import('#streams/kafka/connect.ts');
  const { wireSchemas } = await import('#streams/kafka/registry.ts');
  const { announcedHeads } = await import('#streams/kafka/announced-heads.ts');
  const { bringFromTopic } = await import('#streams/kafka/bring.ts');
  const connection = kafkaConnection(brokersOf(configuration));
  const schemas = wireSchemas(registryOf(configuration));
  const keys = keysFromJwks(set);
  const announced = await announcedHeads(connection, keys, signal);
  if (!announced) return undefined;
  const { ledgerId, heads } = announced;
  const source = `Kafka (${connection.topic('ledger.events.v1')})`;
  const arrival = await beginArrival(pool, { source, ledgerId });
  const brought = await bringFromTopic({
    connection,
    schemas,
    taker: postgresShareTaker(pool, ledgerId),
    trust: trustIn(ledgerId, keys),
    heads,
    signal,
    onProgress,
  });
  if (!brought) return undefined;
  await arrival.end();
  return { source, ledgerId, resumed: arrival.resumed, ...brought };
};

const fromExports = async (
  pool: Pool,
  { from, keys, signal, onProgress }: BringRequest & { readonly from: readonly string[] },
): Promise<BroughtLedger | undefined> => {
  const source = 'exports';
  let begun: { readonly arrival: Arrival; readonly taker: ShareTaker } | undefined;
  let facts = 0;
  for (const file of from) {
    const takerOf = async (ledgerId: string): Promise<ShareTaker> => {
      if (begun && begun.taker.ledgerId !== ledgerId)
        throw new CarryError(
          'other-ledger',
          `${file} is of the ledger ${ledgerId}, the files before it are of ${begun.taker.ledgerId}: restore each into a database of its own`,
        );
      begun ??= {
        arrival: await beginArrival(pool, { source, ledgerId }),
        taker: postgresShareTaker(pool, ledgerId),
      };
      return begun.taker;
    };
    const lines = await fileSource(file, EXPORT_LINE_BYTES_MAX);
    const onTaken = (more: number): void => {
      facts += more;
      onProgress({
        facts,
        share: lines.size === undefined ? undefined : lines.consumed() / Math.max(lines.size, 1),
      });
    };
    const report = await bringFromExport({
      source: lines,
      takerOf,
      keys: keysFromJwks(keys),
      signal,
      onTaken,
    });
    if (!report) return undefined;
  }
  if (!begun) return undefined;
  await begun.arrival.end();
  const { arrival, taker } = begun;
  return { source, ledgerId: taker.ledgerId, resumed: arrival.resumed, facts, repeated: 0, unsigned: [] };
};
