// The live rows against an independent fold of the same history, each tenant as of where its rows stand: one snapshot of
// rows and checkpoints, so that live traffic may go on. Where they differ, the first row is named, with what either
// side has and the facts that made it.
import { type AnyProjector, keyText } from '#projectors/batch.ts';
import { rowForm } from '#projectors/digest.ts';
import { type Row, type RowKey } from '#projectors/projector.ts';
import { RebuildError } from '#projectors/rebuild/errors.ts';
import { type HashSet, hashDifference, hashSet } from '#projectors/rebuild/hash-set.ts';
import { replayHashes, replayTenant } from '#projectors/rebuild/replay.ts';
import { rowFacts } from '#projectors/rebuild/row-facts.ts';
import type { Fact, Recorded } from '#schemas/event.ts';
import type { Seq, TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import { type Client, type Pool, streamError, withClient } from '#streams/postgres/connect.ts';
import { copyOut } from '#streams/postgres/copy.ts';
import type { StreamStore } from '#streams/stream.ts';
import { liveBuild } from '../builds.ts';
import { readCheckpoints } from '../checkpoints.ts';
import { rowHashSql } from '../digest.ts';
import type { Skips } from '../sink.ts';
import { selectList, tableOf } from '../statements.ts';
import { type Proofs, proveTenants, tableDigests } from './prove.ts';

export interface VerifyOptions {
  readonly pool: Pool;
  readonly store: Pick<StreamStore, 'read'>;
  readonly projector: AnyProjector;
  /** All unless told. */
  readonly tenant?: TenantId | undefined;
  readonly skips: Skips;
  readonly decode?: ((recorded: Recorded) => Fact) | undefined;
  /** Ends it without an answer. */
  readonly signal?: AbortSignal | undefined;
  readonly onFacts?: ((facts: number, total: number) => void) | undefined;
}

/** A row that only one side has, or that they have differently. */
export interface RowDifference {
  readonly tenant: TenantId;
  readonly asOf: Seq;
  readonly key: RowKey;
  readonly live?: Row | undefined;
  readonly replayed?: Row | undefined;
  /** The facts that made it, oldest first; none for a row that no history produces. */
  readonly facts: readonly Seq[];
}

export interface Verified extends Proofs {
  readonly build: number;
  /** Of the first tenant that differs. */
  readonly first?: RowDifference;
}

/** Throws `RebuildError`: `interrupted`; `StreamError`. */
export const verifyReadModel = async (options: VerifyOptions): Promise<Verified> => {
  const { pool, projector, tenant, onFacts, decode = decodeFact } = options;
  try {
    const { build } = await liveBuild(pool, projector);
    const table = tableOf(projector, build);
    const own = tenant === undefined ? table : `(SELECT * FROM ${table} WHERE tenant = '${tenant}')`;
    const { checkpoints, found } = await atOneMoment(pool, async (client) => ({
      checkpoints: await readCheckpoints(client, projector, { build }, tenant),
      found: await tableDigests(client, projector, own),
    }));
    const total = checkpoints.reduce((sum, { seq }) => sum + seq, 0);
    let facts = 0;
    const proofs = await proveTenants(
      {
        ...options,
        decode,
        table,
        checkpoints,
        signal: options.signal ?? new AbortController().signal,
        onFacts: (count) => onFacts?.((facts += count), total),
      },
      found,
    );
    // What a replay came to that was cut off says nothing about the rows.
    if (options.signal?.aborted)
      throw new RebuildError('interrupted', `the verification of ${projector.name} was ended; run it again`);
    const [unequal] = proofs.unequal;
    const first = unequal && (await firstDifference({ ...options, decode }, build, unequal.tenant));
    return { build, ...proofs, ...(first && { first }) };
  } catch (error) {
    throw error instanceof RebuildError ? error : streamError(error);
  }
};

const atOneMoment = <T>(pool: Pool, work: (client: Client) => Promise<T>): Promise<T> =>
  withClient(pool, async (client) => {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    try {
      return await work(client);
    } finally {
      await client.query('ROLLBACK').catch(() => undefined);
    }
  });

interface Comparing extends VerifyOptions {
  readonly decode: (recorded: Recorded) => Fact;
}

const MOST = 1_000;

const firstDifference = (
  options: Comparing,
  build: number,
  tenant: TenantId,
): Promise<RowDifference | undefined> =>
  atOneMoment(options.pool, async (client) => {
    const { store, projector, decode } = options;
    const table = tableOf(projector, build);
    const [checkpoint] = await readCheckpoints(client, projector, { build }, tenant);
    const to = checkpoint?.seq ?? (0 as Seq);
    const replaying = {
      store,
      projector,
      tenant,
      to,
      skips: await options.skips(projector.name, tenant),
      decode,
    };
    const live = await liveHashes(client, projector, table, tenant);
    const { hashes } = await replayHashes(replaying);
    const { onlyLeft, onlyRight } = hashDifference(live, hashes, MOST);
    const sides = new Map<string, { key: RowKey; live?: Row; replayed?: Row }>();
    const put = (key: RowKey, side: { live?: Row; replayed?: Row }): void =>
      void sides.set(keyText(key), { key, ...sides.get(keyText(key)), ...side });
    const { rows } = await client.query<Row>(
      `SELECT ${selectList(projector)} FROM ${table} t WHERE t.tenant = $1 AND encode(${rowHashSql(projector)}, 'hex') = ANY ($2)`,
      [tenant, onlyLeft],
    );
    for (const row of rows) put(keyOf(projector, row), { live: row });
    const wanted = new Set(onlyRight);
    const form = rowForm(projector);
    const seen = (row: Row): void => {
      if (wanted.has(Buffer.from(form.hash(tenant, row), 'latin1').toString('hex')))
        put(keyOf(projector, row), { replayed: row });
    };
    const replayed = await replayTenant({ ...replaying, onRow: seen });
    for (const row of replayed.rows.values()) seen(row);
    const [first] = [...sides.values()].sort((a, b) => Buffer.compare(keyBytes(a.key), keyBytes(b.key)));
    if (!first) return undefined;
    const facts: Seq[] = [];
    for await (const fact of rowFacts({ ...replaying, key: first.key })) facts.push(fact.seq);
    return { tenant, asOf: to, ...first, facts };
  });

const keyOf = (projector: AnyProjector, row: Row): RowKey =>
  projector.key.map((name: string) => row[name] as string);

const keyBytes = (key: RowKey): Buffer => Buffer.from(key.join('\0'));

const liveHashes = async (
  client: Client,
  projector: AnyProjector,
  table: string,
  tenant: TenantId,
): Promise<HashSet> => {
  const hashes = hashSet();
  const query = `SELECT ${rowHashSql(projector)} FROM ${table} t WHERE t.tenant = '${tenant}'`;
  for await (const { bytes, rows } of copyOut(client, query))
    for (const at of rows) hashes.add(bytes.subarray(at + 4, at + 36));
  return hashes;
};
