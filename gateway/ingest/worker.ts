// The importer's worker thread: reads and seals chunk after chunk, each behind the one before. ArrayBuffers come and go
// by transfer. What it was sent comes back with each answer, so that the main thread can send it again after a race.
import { parentPort, workerData } from 'node:worker_threads';
import { projectors } from '#projectors/index.ts';
import type { Row } from '#projectors/projector.ts';
import type { ChainPosition } from '#proofs/chain.ts';
import type { FactId, Instant, Sha256, TenantId } from '#schemas/ids.ts';
import { type ChunkSealer, chunkSealer, type InlineModel, type LineFault, type LineReader, lineReader, type ReadLines, type SealedChunk } from './chunk-sealer.ts';
import { compileMapping } from './mapping.ts';

export interface WorkerSettings {
  readonly tenant: TenantId;
  readonly tenantNo: number;
  /** Content of a mapping file, checked before. */
  readonly mapping: unknown;
}

export type ToWorker =
  /** Go on behind this position; forget what came before. */
  | { readonly kind: 'begin'; readonly before: ChainPosition; readonly models: readonly { readonly name: string; readonly rows: Map<string, Row> }[] }
  | { readonly kind: 'chunk'; readonly bytes: ArrayBuffer; readonly firstLine: number; readonly batchNo: number; readonly at: Instant; readonly check: boolean }
  /** Answer to `claims`: 1 at the index of each draft that is stored already. */
  | { readonly kind: 'skip'; readonly skip: Uint8Array };

export type FromWorker =
  | { readonly kind: 'claims'; readonly ids: readonly FactId[]; readonly digests: readonly Sha256[]; readonly lines: readonly number[] }
  | { readonly kind: 'sealed'; readonly bytes: ArrayBuffer; readonly sealed: SealedChunk; readonly faults: readonly LineFault[]; readonly repeated: number };

if (!parentPort) throw new Error('gateway/ingest/worker.ts runs in a worker thread only');
const port = parentPort;
const { tenant, tenantNo, mapping: content } = workerData as WorkerSettings;
const compiled = content === undefined ? undefined : compileMapping(content);
if (compiled && !compiled.ok) throw new Error('the mapping was to be checked before');
const mapping = compiled?.mapping;

let before: ChainPosition | undefined;
let models: readonly InlineModel[] = [];
let waiting: { readonly reader: LineReader; readonly read: ReadLines; readonly chunk: Chunk } | undefined;

type Chunk = Extract<ToWorker, { kind: 'chunk' }>;

// Few enough that what is made of them dies young, and the garbage collector has little to copy.
const SLICE = 128;
const SHORTEST_LINE = 100;
// A row is its payload and about 150 bytes.
const ROW_GROWTH = 1.35;

const sealerOf = ({ batchNo, at, bytes }: Chunk, most = Math.ceil(bytes.byteLength / SHORTEST_LINE)): ChunkSealer => {
  if (!before) throw new Error('a chunk came before its position');
  return chunkSealer({ tenant, tenantNo, batchNo, at, before, models, most, rowBytes: bytes.byteLength * ROW_GROWTH });
};

const answer = (sealer: ChunkSealer, reader: LineReader, { bytes }: Chunk): void => {
  const sealed = sealer.end();
  before = sealed.after;
  models = models.filter(({ projector }) => !sealed.poisoned.includes(projector.name));
  const copies = sealed.inline.flatMap(({ copyRows }) => (copyRows ? [copyRows.buffer] : []));
  const message: FromWorker = { kind: 'sealed', bytes, sealed, faults: reader.faults, repeated: reader.repeated() };
  port.postMessage(message, [bytes, sealed.rows.buffer, sealed.digests.buffer, ...copies]);
};

const take = (chunk: Chunk): void => {
  const { bytes, firstLine, at, check } = chunk;
  const reader = lineReader({ tenant, mapping }, { bytes: Buffer.from(bytes), firstLine, at });
  if (check) {
    const read = reader.next(Number.POSITIVE_INFINITY) ?? { drafts: [], digests: [], lines: [] };
    waiting = { reader, read, chunk };
    const claims: FromWorker = { kind: 'claims', ids: read.drafts.map((draft) => draft.id), digests: read.digests, lines: read.lines };
    port.postMessage(claims);
    return;
  }
  const sealer = sealerOf(chunk);
  for (let read = reader.next(SLICE); read; read = reader.next(SLICE)) sealer.add(read);
  answer(sealer, reader, chunk);
};

port.on('message', (message: ToWorker) => {
  switch (message.kind) {
    case 'begin':
      before = message.before;
      waiting = undefined;
      models = message.models.flatMap(({ name, rows }) => {
        const projector = projectors.find((candidate) => candidate.name === name);
        return projector ? [{ projector, rows }] : [];
      });
      break;
    case 'chunk':
      take(message);
      break;
    case 'skip': {
      if (!waiting) throw new Error('nothing was asked');
      const { reader, read, chunk } = waiting;
      const sealer = sealerOf(chunk, read.drafts.length);
      sealer.add(read, message.skip);
      answer(sealer, reader, chunk);
      waiting = undefined;
      break;
    }
    default:
      message satisfies never;
  }
});
