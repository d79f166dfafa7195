// A build filled from the whole history: read by COPY, folded in memory, written by COPY into a table that has no index
// yet. One tenant after the other, so that only one tenant's rows are held; a row of an insert-only model not even that
// long. Rows and checkpoints go in one transaction, which names the build's epoch. A rebuild that was ended goes on
// behind the tenants that are done.
//
// What cannot be done so in bounded memory, or what the database refuses, is left to the live runner (`Unfit`), on the
// same build and with its indexes: slower, and with exactly its way of finding the fact at fault.
import { faultAt } from '#projectors/advance.ts';
import { type AnyProjector, foldBatch, keyText } from '#projectors/batch.ts';
import type { Row } from '#projectors/projector.ts';
import { RebuildError } from '#projectors/rebuild/errors.ts';
import type { AtPoint } from '#projectors/rebuild/points.ts';
import { beginning, type Checkpoint, type HaltCause, positionOf } from '#projectors/sink.ts';
import type { Fact, Recorded } from '#schemas/event.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import { type BinaryWriter, binaryWriter } from '#streams/postgres/binary.ts';
import { type Client, type Pool, sqlState, transaction, withClient } from '#streams/postgres/connect.ts';
import { copyIn } from '#streams/postgres/copy.ts';
import type { StoredHead } from '#streams/postgres/reader.ts';
import type { BuildRef } from '../builds.ts';
import { putCheckpoints } from '../checkpoints.ts';
import { rowWriter, UnfitValue } from '../columns.ts';
import type { Skips } from '../sink.ts';
import { statementsOf } from '../statements.ts';
import { type Portion, readStretches, type Stretch } from './facts.ts';

export interface FillOptions {
  readonly pool: Pool;
  /** The database that has the facts; `pool`, which has the build, unless told. */
  readonly source?: Pool;
  readonly projector: AnyProjector;
  readonly build: HeldBuild;
  /** Up to where; of the tenants to be filled. */
  readonly heads: readonly StoredHead[];
  /** Where the build stands already, by tenant. */
  readonly done: ReadonlyMap<TenantId, Checkpoint>;
  readonly decode: (recorded: Recorded) => Fact;
  readonly skips: Skips;
  readonly signal: AbortSignal;
  readonly onFacts: (facts: number) => void;
  readonly at: AtPoint;
  /** Rows of one tenant that may be held in memory; 200,000 unless told. */
  readonly maxRows?: number | undefined;
}

/** The build cannot be filled this way: empty it and leave it to the live runner. */
export class Unfit extends Error {
  override readonly name = 'Unfit';
}

const CHUNK_BYTES = 4 << 20;
const MAX_ROWS = 200_000;
/** Checkpoints that are written together. */
const TENANTS = 1_000;

interface Filling extends FillOptions {
  readonly put: ReturnType<typeof rowWriter>;
  readonly target: string;
  readonly writer: BinaryWriter;
  readonly reached: Map<TenantId, Checkpoint>;
  tenant: TenantFold | undefined;
}

/** The fold of the tenant whose facts are being read. */
interface TenantFold {
  readonly tenant: TenantId;
  readonly rows: Map<string, Row>;
  at: Checkpoint;
  skips?: ReadonlySet<Seq>;
}

/** Throws `Unfit`; `RebuildError`: `interrupted`, `lost-lease`; `StreamError`. */
export const fillBuild = async (options: FillOptions): Promise<void> => {
  const { pool, source = pool, projector, build, heads, done } = options;
  const filling: Filling = {
    ...options,
    put: rowWriter(projector),
    target: statementsOf(projector, build.build).copyTarget,
    writer: binaryWriter(CHUNK_BYTES + (CHUNK_BYTES >> 2)),
    reached: new Map(),
    tenant: undefined,
  };
  const stretches = heads.flatMap((head) => stretchOf(projector, head, done.get(head.tenant)));
  try {
    await withClient(source, async (client) => {
      for await (const portion of readStretches(client, stretches)) {
        if (options.signal.aborted) throw interrupted(projector);
        await takePortion(filling, portion);
      }
    });
    await flush(filling);
  } catch (error) {
    throw unfitIf(error);
  }
};

const interrupted = ({ name }: AnyProjector): RebuildError =>
  new RebuildError(
    'interrupted',
    `the rebuild of ${name} was ended; what it did is kept, and the next one goes on with it`,
  );

/** What is left of a tenant: for a keyed model all or nothing, as its rows are held until all facts are in. */
const stretchOf = (
  projector: AnyProjector,
  head: StoredHead,
  at: Checkpoint | undefined,
): readonly Stretch[] => {
  const { tenant, tenantNo } = head;
  const start = at ?? beginning(tenant);
  if (start.fault || start.seq >= head.seq || (start.seq > 0 && !projector.insertOnly)) return [];
  return [{ tenant, tenantNo, from: (start.seq + 1) as Seq, to: head.seq, prevHash: start.hash }];
};

const takePortion = async (filling: Filling, { stretch, facts, last }: Portion): Promise<void> => {
  const { projector, writer } = filling;
  const { tenant } = stretch;
  if (filling.tenant?.tenant !== tenant)
    filling.tenant = { tenant, rows: new Map(), at: filling.done.get(tenant) ?? beginning(tenant) };
  const fold = filling.tenant;
  if (!fold.at.fault) await foldFacts(filling, fold, facts);
  filling.onFacts(facts.length);
  if (last) {
    for (const row of fold.rows.values()) filling.put(writer, tenant, row);
    fold.rows.clear();
  }
  if (last || projector.insertOnly) filling.reached.set(tenant, fold.at);
  else if (fold.rows.size > (filling.maxRows ?? MAX_ROWS))
    throw new Unfit(`${tenant} has more rows in ${projector.name} than may be held in memory`);
  // A keyed tenant's rows are complete here or not in the writer at all.
  if (writer.size() >= CHUNK_BYTES || filling.reached.size >= TENANTS) await flush(filling);
};

const foldFacts = async (
  filling: Filling,
  fold: TenantFold,
  recorded: readonly Recorded[],
): Promise<void> => {
  const { projector, writer, put } = filling;
  let rest = recorded;
  while (rest.length > 0) {
    const { facts, taken, fault: unread } = decodeAll(filling, rest, fold.skips);
    const { changes, poison } = foldBatch(projector, facts, fold.rows);
    for (const row of changes.inserts) put(writer, fold.tenant, row);
    for (const [key, row] of changes.upserts) fold.rows.set(key, row);
    for (const key of changes.deletes) fold.rows.delete(keyText(key));
    const stop = poison ? rest.findIndex(({ seq }) => seq === poison.fact.seq) : taken;
    const fault = poison ? faultAt(rest[stop] as Recorded, poison.error.message) : unread;
    const before = rest[stop - 1];
    if (before) fold.at = { tenant: fold.tenant, ...positionOf(before) };
    if (!fault) return;
    if (fold.skips) {
      fold.at = { ...fold.at, fault };
      return;
    }
    fold.skips = await filling.skips(projector.name, fold.tenant);
    rest = rest.slice(stop);
  }
};

interface Decoded {
  readonly facts: Fact[];
  /** How many of the recorded ones are in, or need not be. */
  readonly taken: number;
  readonly fault?: HaltCause;
}

const decodeAll = (
  { projector, decode }: Filling,
  recorded: readonly Recorded[],
  skips: ReadonlySet<Seq> | undefined,
): Decoded => {
  const facts: Fact[] = [];
  for (const [index, fact] of recorded.entries()) {
    if (!projector.handles.includes(fact.type) || skips?.has(fact.seq)) continue;
    try {
      facts.push(decode(fact));
    } catch (error) {
      return { facts, taken: index, fault: faultAt(fact, (error as Error).message) };
    }
  }
  return { facts, taken: recorded.length };
};

/** Rows and checkpoints so far, in one transaction. */
const flush = async (filling: Filling): Promise<void> => {
  const { pool, projector, build, writer, target, at } = filling;
  if (filling.reached.size === 0) return;
  const rows = writer.take();
  const checkpoints = [...filling.reached.values()];
  filling.reached.clear();
  await transaction(pool, async (client) => {
    await holdEpoch(client, projector, build);
    if (rows.length > 0) await copyIn(client, { target, rows });
    await putCheckpoints(client, { projector, build }, checkpoints);
    // The rows of a build that nobody reads yet are lost together with their checkpoints or not at all.
    await client.query('SET LOCAL synchronous_commit = off');
    await at('chunk-copied');
  });
  await at('chunk-committed');
};

/** A build, and how long its rebuild may be silent. */
export interface HeldBuild extends BuildRef {
  readonly leaseMs?: number;
}

const LEASE_MS = 10_000;

/**
 * Nobody takes the build over before the transaction ends; and the server ends it when this process stands still in the
 * middle of it for longer than its lease, so that nobody waits for a writer that is asleep. Throws `RebuildError`:
 * `lost-lease`.
 */
export const holdEpoch = async (
  client: Client,
  { name, version }: AnyProjector,
  { build, epoch, leaseMs = LEASE_MS }: HeldBuild,
): Promise<void> => {
  await client.query(`SET LOCAL idle_in_transaction_session_timeout = ${Math.ceil(leaseMs)}`);
  const { rowCount } = await client.query(
    'SELECT FROM projections.builds WHERE projection = $1 AND version = $2 AND build = $3 AND epoch = $4 FOR SHARE',
    [name, version, build, epoch],
  );
  if (rowCount !== 1)
    throw new RebuildError(
      'lost-lease',
      `the rebuild of ${name} stood still for too long, and another process has taken it over: leave it to that one`,
    );
};

/** Classes 22, 23 and 54 (see the sink): some row is refused, and COPY does not say whose. */
export const unfitIf = (error: unknown): unknown =>
  error instanceof UnfitValue || /^(?:22|23|54)...$/.test(sqlState(error) ?? '')
    ? new Unfit((error as Error).message, { cause: error })
    : error;
