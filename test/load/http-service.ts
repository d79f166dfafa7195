// The service as it is deployed, in a process of its own, on a ledger that stands. `storage` says what is behind its
// routes: the ledger, nothing (the yardstick: the very same server whose appends are answered at once), or Emmett's
// event store. Tells its parent its URL, and how much memory it has when asked.
import { getPostgreSQLEventStore } from '@event-driven-io/emmett-postgresql';
import { readConfiguration } from '#deploy/configuration.ts';
import { type WiredLedger, wireLedger } from '#deploy/processes/ledger/wire.ts';
import { startService } from '#deploy/processes/service.ts';
import { version } from '#deploy/processes/version.ts';
import { openTelemetry } from '#deploy/telemetry/telemetry.ts';
import { GENESIS_HASH } from '#proofs/chain.ts';
import type { BatchProof } from '#proofs/checkpoint.ts';
import type { Draft, Recorded } from '#schemas/event.ts';
import type { Instant, Seq } from '#schemas/ids.ts';
import type { Appended, AppendRequest, StreamStore } from '#streams/stream.ts';

export interface ServiceJob {
  readonly storage: 'ledger' | 'nothing' | 'emmett';
  readonly readModels: boolean;
  /** Settings of the service; DATABASE_URL and PROV_LEDGER_DATA_DIR among them. */
  readonly env: { readonly [name: string]: string };
}

export interface Usage {
  readonly rssMiB: number;
  /** After a collection, when the process runs with --expose-gc. */
  readonly heapMiB: number;
  readonly queuedFacts: number;
}

const HASH = GENESIS_HASH;
let seq = 0;

/** As long as a real answer, and as much work to write; what it says is not so. */
const invented = ({ tenant, drafts }: AppendRequest, proof: BatchProof): readonly Appended[] =>
  drafts.map((draft: Draft) => {
    seq += 1;
    const fact: Recorded = {
      ...draft,
      tenant,
      seq: seq as Seq,
      recordedAt: Date.now() as Instant,
      prevHash: HASH,
      hash: HASH,
    };
    return { fact, proof };
  });

/** The proof of whatever fact comes first, to answer with. */
const someProof = async (store: StreamStore): Promise<BatchProof> => {
  for (const { tenant } of await store.heads()) {
    const proof = await store.proof(tenant, 1 as Seq);
    if (proof) return proof;
  }
  throw new Error('the ledger is empty: make a tenant first');
};

const appendTo = async (
  { storage, env }: ServiceJob,
  store: StreamStore,
): Promise<StreamStore['append'] | undefined> => {
  if (storage === 'ledger') return undefined;
  const proof = await someProof(store);
  if (storage === 'nothing')
    return async (request) => ({ kind: 'appended', facts: invented(request, proof) });
  const emmett = getPostgreSQLEventStore(env['DATABASE_URL'] ?? '');
  await emmett.schema.migrate();
  return async (request) => {
    const events = request.drafts.map(({ type, parsed }) => ({
      type,
      data: parsed as Record<string, unknown>,
    }));
    await emmett.appendToStream(`receipt-${request.drafts[0]?.id}`, events);
    return { kind: 'appended', facts: invented(request, proof) };
  };
};

const usage = (ledger: WiredLedger): Usage => {
  globalThis.gc?.();
  const { rss, heapUsed, external } = process.memoryUsage();
  return {
    rssMiB: rss / 2 ** 20,
    heapMiB: (heapUsed + external) / 2 ** 20,
    queuedFacts: ledger.store.queuedFacts(),
  };
};

const serve = async (job: ServiceJob): Promise<void> => {
  const read = readConfiguration(
    {
      PROV_LEDGER_LOG_LEVEL: 'warn',
      PROV_LEDGER_HTTP_PORT: '0',
      PROV_LEDGER_OPERATORS_PORT: '0',
      ...job.env,
    },
    () => '',
  );
  if (!read.ok) throw new Error(JSON.stringify(read.faults));
  const { configuration } = read;
  const telemetry = await openTelemetry({ configuration, env: {}, version, stream: process.stderr });
  const database = {
    url: configuration.databaseUrl ?? '',
    embedded: false,
    [Symbol.asyncDispose]: async () => undefined,
  };
  const wired = await wireLedger(configuration, database, { onCommit: telemetry.onCommit });
  const append = await appendTo(job, wired.store);
  // Its feed is made when first asked for, so nothing may be copied out of it.
  const ledger: WiredLedger = append
    ? Object.create(wired, { store: { value: { ...wired.store, append } } })
    : wired;
  const service = await startService(
    { configuration, ledger, telemetry },
    { withoutProjectors: !job.readModels },
  );
  process.on('message', () => process.send?.(usage(wired)));
  const stop = async (): Promise<void> => {
    await service.drain();
    await wired[Symbol.asyncDispose]();
    process.exit();
  };
  process.once('SIGTERM', () => void stop());
  process.send?.({ url: service.url });
};

await serve(JSON.parse(process.argv[2] ?? '') as ServiceJob);
