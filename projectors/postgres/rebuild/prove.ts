// That a build's table holds what it must: the digest that the server computes from the rows it would hand out, against
// that of an independent replay, tenant by tenant, each at the place where the build stands.
import type { AnyProjector } from '#projectors/batch.ts';
import { digestOfSorted } from '#projectors/digest.ts';
import { replayHashes } from '#projectors/rebuild/replay.ts';
import type { Checkpoint } from '#projectors/sink.ts';
import type { Fact, Recorded } from '#schemas/event.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import { type Client, type Pool, withClient } from '#streams/postgres/connect.ts';
import { copyOut } from '#streams/postgres/copy.ts';
import type { StreamStore } from '#streams/stream.ts';
import { rowHashSql } from '../digest.ts';
import type { Skips } from '../sink.ts';
import type { SideReplay } from './beside.ts';
import type { TenantDigest, TenantProof } from './work.ts';

/** Digest of no rows at all. */
export const EMPTY: TenantDigest = { rows: 0, digest: digestOfSorted().end() };

/** Of every tenant that has rows in the table. The server sorts; 32 bytes a row come here, and none is kept. */
export const tableDigests = async (
  client: Client,
  projector: AnyProjector,
  table: string,
): Promise<ReadonlyMap<TenantId, TenantDigest>> => {
  const query = `SELECT t.tenant, ${rowHashSql(projector)} FROM ${table} t ORDER BY 1, 2`;
  const digests = new Map<TenantId, TenantDigest>();
  let tenant: TenantId | undefined;
  let [digest, rows] = [digestOfSorted(), 0];
  const end = (): void => {
    if (tenant !== undefined) digests.set(tenant, { rows, digest: digest.end() });
    [digest, rows] = [digestOfSorted(), 0];
  };
  for await (const chunk of copyOut(client, query)) {
    for (const at of chunk.rows) {
      const length = chunk.bytes.readInt32BE(at);
      const name = chunk.bytes.toString('utf8', at + 4, at + 4 + length) as TenantId;
      if (name !== tenant) {
        end();
        tenant = name;
      }
      const hashAt = at + 4 + length + 4;
      digest.add(chunk.bytes.subarray(hashAt, hashAt + 32));
      rows += 1;
    }
  }
  end();
  return digests;
};

export interface ProveOptions {
  readonly pool: Pool;
  readonly store: Pick<StreamStore, 'read'>;
  readonly projector: AnyProjector;
  readonly table: string;
  readonly checkpoints: readonly Checkpoint[];
  readonly decode: (recorded: Recorded) => Fact;
  readonly skips: Skips;
  readonly signal: AbortSignal;
  readonly onFacts: (facts: number) => void;
  /** A replay that has been under way meanwhile; where it comes to the same, that is the proof. */
  readonly beside?: SideReplay | undefined;
}

/** A tenant whose rows are others than those of the replay; `undefined` stands for a row that only the other has. */
export interface Unequal {
  readonly tenant: TenantId;
  readonly seq: Seq;
  readonly message: string;
}

export interface Proofs {
  readonly equal: readonly TenantProof[];
  readonly unequal: readonly Unequal[];
}

/** `found` is what the table holds; a tenant of whom no checkpoint speaks must have no row. */
export const proveTenants = async (
  options: ProveOptions,
  found: ReadonlyMap<TenantId, TenantDigest>,
): Promise<Proofs> => {
  const equal: TenantProof[] = [];
  const unequal: Unequal[] = [];
  for (const checkpoint of options.checkpoints) {
    if (options.signal.aborted) break;
    const { tenant, seq, hash } = checkpoint;
    const there = found.get(tenant) ?? EMPTY;
    const message = await faultOf(options, checkpoint, there);
    if (message === undefined) equal.push({ tenant, seq, hash, ...there });
    else unequal.push({ tenant, seq, message });
  }
  const known = new Set(options.checkpoints.map(({ tenant }) => tenant));
  for (const [tenant, { rows }] of found)
    if (!known.has(tenant))
      unequal.push({
        tenant,
        seq: 0 as Seq,
        message: `has ${rows} rows although none of its facts was read`,
      });
  return { equal, unequal };
};

const faultOf = async (
  { store, projector, decode, skips, signal, onFacts, beside }: ProveOptions,
  { tenant, seq, hash }: Checkpoint,
  { rows, digest }: TenantDigest,
): Promise<string | undefined> => {
  // Whatever else it came to (another place, a fact skipped since, a lost connection) is looked into here.
  const other = await beside?.of(tenant);
  if (other?.seq === seq && other.hash === hash && other.digest === digest) {
    onFacts(seq);
    return undefined;
  }
  const replayed = await replayHashes({
    store,
    projector,
    tenant,
    to: seq,
    skips: await skips(projector.name, tenant),
    decode,
    signal,
    onFacts,
  });
  if (replayed.refused) return `the replay refuses fact ${replayed.refused.seq}: ${replayed.refused.message}`;
  if (seq > 0 && replayed.position.hash !== hash)
    return `fact ${seq} has the hash ${replayed.position.hash}, the checkpoint names ${hash}`;
  if (replayed.hashes.digest() === digest) return undefined;
  return `the table has ${rows} rows with the digest ${digest}, the replay ${replayed.hashes.count()} with ${replayed.hashes.digest()}`;
};

/** The digests of a table, on a connection of its own. */
export const readTableDigests = (
  pool: Pool,
  projector: AnyProjector,
  table: string,
): Promise<ReadonlyMap<TenantId, TenantDigest>> =>
  withClient(pool, (client) => tableDigests(client, projector, table));
