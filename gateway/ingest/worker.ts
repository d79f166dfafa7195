// The importer's worker thread: reads and seals chunk after chunk, each behind the one before. ArrayBuffers come and go
// by transfer. What it was sent comes back with each answer, so that the main thread can send it again after a race.
import { parentPort, workerData } from 'node:worker_threads';
import { projectors } from '#projectors/index.ts';
import type { Row } from '#projectors/projector.ts';
import type { ChainPosition } from '#proofs/chain.ts';
import type { FactId, Instant, Sha256, TenantId } from '#schemas/ids.ts';
import { type InlineModel, type LineFault, type ReadChunk, readLines, type SealedChunk, sealDrafts } from './chunk-sealer.ts';
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
let waiting: { readonly read: ReadChunk; readonly message: Extract<ToWorker, { kind: 'chunk' }> } | undefined;

const answer = (read: ReadChunk, { bytes, batchNo, at }: Extract<ToWorker, { kind: 'chunk' }>, skip?: Uint8Array): void => {
  if (!before) throw new Error('a chunk came before its position');
  const sealed = sealDrafts(read, { tenant, tenantNo, batchNo, at, before, models, skip });
  before = sealed.after;
  models = models.filter(({ projector }) => !sealed.poisoned.includes(projector.name));
  const copies = sealed.inline.flatMap(({ copyRows }) => (copyRows ? [copyRows.buffer] : []));
  const message: FromWorker = { kind: 'sealed', bytes, sealed, faults: read.faults, repeated: read.repeated };
  port.postMessage(message, [bytes, sealed.rows.buffer, ...copies]);
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
    case 'chunk': {
      const read = readLines({ tenant, mapping }, { bytes: Buffer.from(message.bytes), firstLine: message.firstLine, at: message.at });
      if (message.check) {
        waiting = { read, message };
        const claims: FromWorker = { kind: 'claims', ids: read.drafts.map((draft) => draft.id), digests: read.digests, lines: read.lines };
        port.postMessage(claims);
      } else answer(read, message);
      break;
    }
    case 'skip':
      if (waiting) answer(waiting.read, waiting.message, message.skip);
      waiting = undefined;
      break;
    default:
      message satisfies never;
  }
});
