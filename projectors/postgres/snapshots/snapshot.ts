// Read models as of one position of the ledger, in a schema of their own: for auditors and analysts, who ask again and
// again and want the same answer. All of them stand at the same fact of each tenant, and each was found equal to an
// independent replay before anybody could see it.

import type { AnyProjector } from '#projectors/batch.ts';
import { RebuildError } from '#projectors/rebuild/errors.ts';
import type { Checkpoint } from '#projectors/sink.ts';
import type { Fact, Recorded } from '#schemas/event.ts';
import { instantText } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import { type Client, type Pool, RUNTIME_ROLE, sqlState } from '#streams/postgres/connect.ts';
import type { LedgerDatabases } from '#streams/postgres/databases.ts';
import type { StreamStore } from '#streams/stream.ts';
import { columnsOf } from '../columns.ts';
import { ANALYST_ROLE, guard, VIEWS_ROLE } from '../isolation.ts';
import { asOwner } from '../owner.ts';
import { ddlFor } from '../read-models.ts';
import { proveTenants, readTableDigests } from '../rebuild/prove.ts';
import { refuseUnasked } from '../rebuild/unasked.ts';
import type { TenantProof } from '../rebuild/work.ts';
import type { Skips } from '../sink.ts';
import { PROJECTORS_FOLDER } from '../source.ts';
import { commentOn } from '../view.ts';
import { fillSnapshot, type SnapshotModel } from './fill.ts';
import { type Asked, askedText, type Place, positionOf } from './position.ts';
import { dropSnapshot, schemaOf } from './register.ts';

export interface SnapshotOptions {
  readonly databases: LedgerDatabases;
  readonly store: Pick<StreamStore, 'read'>;
  readonly projectors: readonly AnyProjector[];
  /** A letter, then up to 30 letters, digits and underscores, all lower case. */
  readonly name: string;
  readonly asked: Asked;
  readonly skips: Skips;
  readonly folder?: URL | undefined;
  readonly decode?: ((recorded: Recorded) => Fact) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onFacts?: ((phase: 'filling' | 'proving', facts: number, total: number) => void) | undefined;
  readonly maxRows?: number | undefined;
}

export interface SnapshotTaken {
  readonly name: string;
  readonly schema: string;
  readonly position: readonly Checkpoint[];
  readonly models: readonly { readonly projection: string; readonly proofs: readonly TenantProof[] }[];
}

interface Taking extends SnapshotOptions {
  /** Of the home, which has the read models. */
  readonly pool: Pool;
  readonly decode: (recorded: Recorded) => Fact;
  readonly signal: AbortSignal;
  readonly position: readonly Place[];
}

/** Throws `RebuildError`: `elsewhere`, `exists`, `nothing-there`, `halted`, `not-equal`, `interrupted`; `StreamError`. */
export const takeSnapshot = async (options: SnapshotOptions): Promise<SnapshotTaken> => {
  const { databases, name, asked, projectors, decode = decodeFact } = options;
  const { pool } = databases.home;
  await refuseUnasked(databases);
  const position = await positionOf(databases, asked);
  if (position.length === 0)
    throw new RebuildError('nothing-there', `no fact was recorded up to there: ${askedText(asked)}`);
  const { signal = new AbortController().signal } = options;
  const taking: Taking = { ...options, pool, decode, signal, position };
  const models = await Promise.all(projectors.map((projector) => modelOf(taking, projector)));
  await asOwner(pool, (client) => begin(client, taking, models));
  try {
    const total = position.reduce((sum, { seq }) => sum + seq, 0);
    let facts = 0;
    const onFacts = (count: number): void => options.onFacts?.('filling', (facts += count), total);
    await fillSnapshot({ ...taking, models, onFacts });
    for (const { index } of models) await index();
    const proved = await prove(taking, models);
    await asOwner(pool, (client) => show(client, taking, models));
    return {
      name,
      schema: schemaOf(name),
      position: position.map(({ tenantNo: _, source: __, ...place }) => place),
      models: proved,
    };
  } catch (error) {
    await dropSnapshot(pool, name).catch(() => undefined);
    throw error;
  }
};

/** Behind the view of the read model's own name. */
const tableIn = (schema: string, { name }: AnyProjector): string => `${schema}.${name}_rows`;

interface Model extends SnapshotModel {
  readonly create: string;
}

const modelOf = async (
  { pool, name, folder = PROJECTORS_FOLDER }: Taking,
  projector: AnyProjector,
): Promise<Model> => {
  const table = tableIn(schemaOf(name), projector);
  const ddl = await ddlFor(projector, table, folder);
  let indexed: Promise<void> | undefined;
  const index = (): Promise<void> =>
    (indexed ??= asOwner(pool, async (client) => {
      await client.query(ddl.indexes);
      await client.query(`ANALYZE ${table}`);
    }));
  return { projector, table, create: ddl.table, index };
};

const begin = async (
  client: Client,
  { name, asked, position }: Taking,
  models: readonly Model[],
): Promise<void> => {
  const schema = schemaOf(name);
  try {
    await client.query('INSERT INTO projections.snapshots (name, asked, models) VALUES ($1, $2, $3)', [
      name,
      askedText(asked),
      models.map(({ projector }) => projector.name),
    ]);
  } catch (error) {
    if (sqlState(error) !== '23505') throw error;
    throw new RebuildError(
      'exists',
      `there is a snapshot ${name} already: choose another name, or \`prov-ledger views drop ${name}\``,
      { cause: error },
    );
  }
  await client.query(
    `INSERT INTO projections.snapshot_positions (name, tenant, seq, hash, recorded_at)
     SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::bytea[], $5::timestamptz[])`,
    [
      name,
      position.map(({ tenant }) => tenant),
      position.map(({ seq }) => seq),
      position.map(({ hash }) => Buffer.from(hash, 'hex')),
      position.map(({ recordedAt }) => instantText(recordedAt)),
    ],
  );
  await client.query(`CREATE SCHEMA ${schema}`);
  await client.query(`GRANT USAGE ON SCHEMA ${schema} TO ${RUNTIME_ROLE}`);
  for (const { create, table } of models) {
    await client.query(create);
    await client.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${table} TO ${RUNTIME_ROLE}`);
  }
};

/** Each read model at the position, tenant by tenant, against a replay that shares nothing with the fill but the fold. */
const prove = async (taking: Taking, models: readonly Model[]): Promise<SnapshotTaken['models']> => {
  const { pool, position } = taking;
  const total = models.length * position.reduce((sum, { seq }) => sum + seq, 0);
  let facts = 0;
  const onFacts = (count: number): void => taking.onFacts?.('proving', (facts += count), total);
  const proved: { projection: string; proofs: readonly TenantProof[] }[] = [];
  for (const { projector, table } of models) {
    const found = await readTableDigests(pool, projector, table);
    const { equal, unequal } = await proveTenants(
      { ...taking, projector, table, checkpoints: position, onFacts },
      found,
    );
    if (taking.signal.aborted)
      throw new RebuildError('interrupted', 'the snapshot was ended, and what was made of it is dropped');
    const [first] = unequal;
    if (first)
      throw new RebuildError(
        'not-equal',
        `${projector.name} of ${first.tenant} as of fact ${first.seq} is not what the history says: ${first.message}; nothing is shown`,
      );
    proved.push({ projection: projector.name, proofs: equal });
  }
  return proved;
};

/** From here on there is something to ask. */
const show = async (client: Client, { name }: Taking, models: readonly Model[]): Promise<void> => {
  const schema = schemaOf(name);
  await client.query(`GRANT USAGE, CREATE ON SCHEMA ${schema} TO ${VIEWS_ROLE}`);
  await client.query(`GRANT USAGE ON SCHEMA ${schema} TO ${ANALYST_ROLE}`);
  for (const { projector, table } of models) {
    await client.query(`REVOKE ALL ON ${table} FROM ${RUNTIME_ROLE}`);
    await guard(client, table);
    const columns = ['tenant', ...columnsOf(projector).map((column) => column.name)].join(', ');
    const view = `${schema}.${projector.name}`;
    await client.query(`CREATE VIEW ${view} AS SELECT ${columns} FROM ${table}`);
    await commentOn(client, { view, table });
    await open(client, view);
  }
  const asOf = `${schema}.as_of`;
  await client.query(
    `CREATE VIEW ${asOf} AS SELECT tenant, as_of_seq, as_of, as_of_hash, facts_since, created_at FROM views.snapshots WHERE name = '${name}'`,
  );
  await commentOn(client, { view: asOf, table: 'views.snapshots' });
  await open(client, asOf);
  await client.query(`REVOKE CREATE ON SCHEMA ${schema} FROM ${VIEWS_ROLE}`);
  await client.query('UPDATE projections.snapshots SET proved_at = now() WHERE name = $1', [name]);
};

const open = async (client: Client, view: string): Promise<void> => {
  await client.query(`GRANT SELECT ON ${view} TO ${RUNTIME_ROLE}, ${ANALYST_ROLE}`);
  await client.query(`ALTER VIEW ${view} OWNER TO ${VIEWS_ROLE}`);
};
