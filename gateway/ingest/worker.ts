// A worker thread of the importer. It reads a chunk at once, and seals it when it is told behind what: reading, two
// thirds of the work, goes on in several threads, while the chain grows chunk by chunk. ArrayBuffers come and go by
// transfer; the bytes of a chunk go back with its result, so that they can be sent again after a lost race.
import { parentPort, workerData } from 'node:worker_threads';
import { projectors } from '#projectors/index.ts';
import type { Row } from '#projectors/projector.ts';
import type { ChainPosition } from '#proofs/chain.ts';
import type { FactId, Instant, Sha256, TenantId } from '#schemas/ids.ts';
import {
  chunkSealer,
  type InlineModel,
  type LineFault,
  type LineReader,
  lineReader,
  type ReadLines,
  type SealedChunk,
} from './chunk-sealer.ts';
import { compileMapping } from './mapping.ts';

export interface WorkerSettings {
  readonly tenant: TenantId;
  readonly tenantNo: number;
  /** Content of a mapping file, checked before. */
  readonly mapping: unknown;
}

/** Rows of one read model, by key text. */
export interface ModelRows {
  readonly name: string;
  readonly rows: ReadonlyMap<string, Row>;
}

export interface ReadMessage {
  readonly kind: 'read';
  readonly bytes: ArrayBuffer;
  readonly firstLine: number;
  /** When a receipt was made that does not say it. */
  readonly at: Instant;
  /** Answer with the ids and digests that were read, so that it can be looked up which are stored already. */
  readonly claims: boolean;
}

export interface SealMessage {
  readonly kind: 'seal';
  readonly before: ChainPosition;
  readonly batchNo: number;
  readonly at: Instant;
  /** 1 at the index of each receipt that is stored already. */
  readonly skip?: Uint8Array | undefined;
  /** The read models to keep, with all rows that are not yet known here; `anew`: nothing is known. */
  readonly models: readonly ModelRows[];
  readonly anew: boolean;
}

export type ToWorker = ReadMessage | SealMessage;

export interface ClaimsMessage {
  readonly kind: 'claims';
  readonly ids: readonly FactId[];
  readonly digests: readonly Sha256[];
  readonly lines: readonly number[];
}

export type FromWorker = ClaimsMessage | SealedMessage;

export interface SealedMessage {
  readonly kind: 'sealed';
  readonly bytes: ArrayBuffer;
  readonly sealed: SealedChunk;
  readonly faults: readonly LineFault[];
  readonly repeated: number;
}

if (!parentPort) throw new Error('gateway/ingest/worker.ts runs in a worker thread only');
const port = parentPort;
const { tenant, tenantNo, mapping: content } = workerData as WorkerSettings;
const compiled = content === undefined ? undefined : compileMapping(content);
if (compiled && !compiled.ok) throw new Error('the mapping was to be checked before');
const mapping = compiled?.mapping;

interface Reading {
  readonly bytes: ArrayBuffer;
  readonly reader: LineReader;
  readonly read: ReadLines;
}

const NOTHING: ReadLines = { drafts: [], digests: [], lines: [] };
// A row is its payload and about 150 bytes.
const ROW_GROWTH = 1.35;

let reading: Reading | undefined;
let models: InlineModel[] = [];

const read = ({ bytes, firstLine, at, claims }: ReadMessage): void => {
  const reader = lineReader({ tenant, mapping }, { bytes: Buffer.from(bytes), firstLine, at });
  const all = reader.next(Number.POSITIVE_INFINITY) ?? NOTHING;
  reading = { bytes, reader, read: all };
  if (!claims) return;
  const { digests, lines } = all;
  port.postMessage({
    kind: 'claims',
    ids: all.drafts.map((draft) => draft.id),
    digests,
    lines,
  } satisfies ClaimsMessage);
};

/** Brings the rows up to where the chunk begins; read models that are not named are kept no longer. */
const takeModels = ({ models: wanted, anew }: SealMessage): void => {
  models = wanted.flatMap(({ name, rows }) => {
    const projector = projectors.find((candidate) => candidate.name === name);
    if (!projector) return [];
    const kept = anew ? undefined : models.find((model) => model.projector === projector)?.rows;
    const known = kept ?? new Map<string, Row>();
    for (const [key, row] of rows) known.set(key, row);
    return [{ projector, rows: known }];
  });
};

// Few enough that what is made of them dies young, and the garbage collector has little to copy.
const SLICE = 128;

const seal = (message: SealMessage): void => {
  if (!reading) throw new Error('nothing was read');
  const { bytes, reader, read: lines } = reading;
  reading = undefined;
  takeModels(message);
  const { before, batchNo, at, skip } = message;
  const { drafts, digests } = lines;
  const sealer = chunkSealer({
    tenant,
    tenantNo,
    batchNo,
    at,
    before,
    models,
    most: drafts.length,
    rowBytes: bytes.byteLength * ROW_GROWTH,
  });
  for (let from = 0; from < drafts.length; from += SLICE) {
    const to = from + SLICE;
    sealer.add(
      { drafts: drafts.slice(from, to), digests: digests.slice(from, to) },
      skip?.subarray(from, to),
    );
  }
  const sealed = sealer.end();
  const copies = sealed.inline.flatMap(({ copyRows }) => (copyRows ? [copyRows.buffer] : []));
  const answer: SealedMessage = {
    kind: 'sealed',
    bytes,
    sealed,
    faults: reader.faults,
    repeated: reader.repeated(),
  };
  port.postMessage(answer, [bytes, sealed.rows.buffer, sealed.digests.buffer, ...copies]);
};

port.on('message', (message: ToWorker) => {
  if (message.kind === 'read') read(message);
  else seal(message);
});
