// A tenant's export as a feed. The export's own verifier goes before: links, batches, signatures, with the keys that the
// caller trusts. What it has let pass becomes lines of a fixture, and goes the way of every other history.
import { type ExportFault, exportVerifier } from '#proofs/export.ts';
import type { VerificationKey } from '#proofs/keys/public-key.ts';
import type { Recorded } from '#schemas/event.ts';
import { factId, type Instant, type Seq, type Sha256, type StreamName, type TenantId } from '#schemas/ids.ts';
import type { FeedChunk, ReplayFeed, SkippedFacts } from './feed.ts';
import { FIXTURE_FORMAT, type FixtureHeader, fixtureFactLine } from './fixtures/format.ts';
import { Unsound } from './lane-messages.ts';

export interface ExportFeedOptions {
  readonly name: string;
  /** The export's lines, without their line feeds. */
  readonly lines: () => AsyncIterable<string>;
  readonly keys: readonly VerificationKey[];
  /** Facts to take; all unless told. */
  readonly events?: number | undefined;
  readonly share?: (() => number | undefined) | undefined;
}

const CHUNK_TEXT = 256 << 10;

export const exportFeed = (options: ExportFeedOptions): ReplayFeed => ({
  kind: 'export',
  name: options.name,
  chunks: (from) => chunks(options, Number(from?.['facts'] ?? 0)),
  skips: () => skippedIn(options),
  starts: () => startIn(options),
});

const SKIPPED = '"type":"projections.FactSkipped"';

/**
 * What the chain itself says is passed over, which stands behind the facts that it is about: so the file is looked through
 * for it first. Each of these lines is proved with all others, when its turn comes.
 */
const skippedIn = async ({ lines }: ExportFeedOptions): Promise<readonly SkippedFacts[]> => {
  const found = new Map<string, { readonly tenant: TenantId; readonly seqs: Set<Seq> }>();
  let tenant = '' as TenantId;
  for await (const line of lines()) {
    if (tenant === '') tenant = headerOf(line)?.tenant ?? tenant;
    if (!line.includes(SKIPPED)) continue;
    const skipped = skippedFact(line);
    if (!skipped) continue;
    const known = found.get(skipped.projection) ?? { tenant, seqs: new Set<Seq>() };
    found.set(skipped.projection, known);
    known.seqs.add(skipped.seq);
  }
  return [...found].map(([projection, each]) => ({ projection, ...each }));
};

const startIn = async ({ lines }: ExportFeedOptions): Promise<ReadonlyMap<TenantId, Seq>> => {
  for await (const line of lines()) {
    const header = headerOf(line);
    return new Map(header ? [[header.tenant, (header.from - 1) as Seq]] : []);
  }
  return new Map();
};

/** What is no line of an export is named by the verifier, which reads it again. */
const headerOf = (line: string): ExportHeaderLine | undefined => {
  try {
    const header = JSON.parse(line) as ExportHeaderLine | null;
    return header?.format === undefined ? undefined : header;
  } catch {
    return undefined;
  }
};

const skippedFact = (line: string): { readonly projection: string; readonly seq: Seq } | undefined => {
  try {
    const { fact } = JSON.parse(line) as { readonly fact?: ExportedFact };
    return fact?.type === 'projections.FactSkipped' ? JSON.parse(fact.payload) : undefined;
  } catch {
    return undefined;
  }
};

const chunks = async function* (
  { lines, keys, events = Number.POSITIVE_INFINITY, share }: ExportFeedOptions,
  skip: number,
): AsyncGenerator<FeedChunk> {
  const verifier = exportVerifier(keys);
  const writer = fixtureWriter();
  let firstLine = 1;
  const chunk = (): FeedChunk => {
    const { text, count } = writer.take();
    const made = {
      task: { kind: 'lines', bytes: Uint8Array.from(Buffer.from(text)).buffer, firstLine } as const,
      cursor: { facts: verifier.facts() },
      share: share?.(),
    };
    firstLine += count;
    return made;
  };
  for await (const line of lines()) {
    if (verifier.facts() >= events) break;
    const fault = verifier.line(line);
    if (fault) throw unsound(fault);
    writer.put(line, { known: verifier.facts() <= skip });
    if (writer.size() >= CHUNK_TEXT) yield chunk();
  }
  if (writer.size() > 0) yield chunk();
  const ended = verifier.facts() >= events ? undefined : verifier.end();
  if (ended && 'code' in ended) throw unsound(ended);
};

const unsound = ({ line, message }: ExportFault): Unsound =>
  new Unsound({ code: 'unsigned', line, message: `line ${line}: ${message}` });

interface ExportedFact {
  readonly seq: Seq;
  readonly id: string;
  readonly type: string;
  readonly schema_version: number;
  readonly stream?: StreamName;
  readonly occurred_at: string;
  readonly recorded_at: string;
  readonly actor: string;
  readonly op_id?: string;
  readonly op_parent_id?: string;
  readonly region?: string;
  readonly traceparent?: string;
  readonly payload: string;
  readonly hash: Sha256;
}

interface ExportHeaderLine {
  readonly format?: string;
  readonly tenant: TenantId;
  readonly from: Seq;
  readonly ledger_id: string;
  readonly prev_hash: Sha256;
  readonly prev_recorded_at?: string;
}

/** Lines of an export that the verifier has let pass, as lines of a fixture. */
const fixtureWriter = () => {
  let tenant = '' as TenantId;
  let text = '';
  let count = 0;
  const add = (line: string): void => {
    text += `${line}\n`;
    count += 1;
  };
  return {
    size: () => text.length,
    take: () => {
      const taken = { text, count };
      text = '';
      count = 0;
      return taken;
    },
    /** `known`: taken by an earlier run already. */
    put: (line: string, { known }: { readonly known: boolean }): void => {
      const value = JSON.parse(line) as { readonly fact?: ExportedFact; readonly format?: string };
      if (value.format !== undefined) {
        const header = value as unknown as ExportHeaderLine;
        tenant = header.tenant;
        add(JSON.stringify(fixtureHeader(header)));
      } else if (value.fact && !known) add(fixtureFactLine(recordedOf(tenant, value.fact)));
    },
  };
};

const fixtureHeader = ({
  tenant,
  from,
  ledger_id,
  prev_hash,
  prev_recorded_at,
}: ExportHeaderLine): FixtureHeader => ({
  format: FIXTURE_FORMAT,
  source: 'recorded',
  ledger_id,
  ...(from > 1 && {
    before: [
      {
        tenant,
        seq: (from - 1) as Seq,
        hash: prev_hash,
        recorded_at: Date.parse(prev_recorded_at ?? '') as Instant,
      },
    ],
  }),
});

const recordedOf = (tenant: TenantId, fact: ExportedFact): Recorded => ({
  tenant,
  seq: fact.seq,
  id: factId(fact.id),
  type: fact.type,
  schemaVersion: fact.schema_version,
  stream: fact.stream,
  occurredAt: Date.parse(fact.occurred_at) as Instant,
  recordedAt: Date.parse(fact.recorded_at) as Instant,
  actor: fact.actor,
  opId: fact.op_id,
  opParentId: fact.op_parent_id,
  region: fact.region,
  traceparent: fact.traceparent,
  payload: fact.payload,
  hash: fact.hash,
  // Said by the fact before; the line of a fixture leaves it out.
  prevHash: '' as Sha256,
});
