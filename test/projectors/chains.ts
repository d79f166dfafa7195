// Chains of facts made by hand, a feed over them, and a database with read models in it: what the projectors' tests
// are given.
import { connectionUrl } from '#deploy/embedded/connection.ts';
import type { AnyProjector } from '#projectors/batch.ts';
import { ensureReadModels, PROJECTION_MIGRATIONS } from '#projectors/postgres/read-models.ts';
import { tableOf } from '#projectors/postgres/statements.ts';
import { CHAIN_START, seal } from '#proofs/chain.ts';
import type { Recorded } from '#schemas/event.ts';
import { type FactId, type Instant, instant, type Seq, type TenantId, tenantId } from '#schemas/ids.ts';
import { connect, type Pool, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { LEDGER_MIGRATIONS, migrate } from '#streams/postgres/migrate.ts';
import type { StreamFeed } from '#streams/stream.ts';
import { type DatabaseTemplate, type FreshDatabase, freshDatabase } from '#test/support/postgres.ts';

export const ACME = tenantId('acme');
export const GLOBEX = tenantId('globex');

export interface Said {
  readonly type: string;
  readonly data?: unknown;
  readonly schemaVersion?: number;
  /** RFC 3339; a second after the fact before unless told. */
  readonly recordedAt?: string;
  /** RFC 3339; when it was recorded unless told. */
  readonly occurredAt?: string;
  /** Instead of the JSON of `data`. */
  readonly payload?: string;
}

const START = Date.UTC(2026, 10, 1, 8);

const idOf = (seq: number): FactId =>
  `00000000-0000-7000-8000-${seq.toString(16).padStart(12, '0')}` as FactId;

/** The facts of one tenant, chained, from seq 1. `salt` makes another history of the same statements. */
export const chain = (tenant: TenantId, statements: readonly Said[], salt = ''): readonly Recorded[] => {
  const facts: Recorded[] = [];
  let before = { ...CHAIN_START, recordedAt: START as Instant };
  for (const {
    type,
    data = {},
    schemaVersion = 1,
    recordedAt,
    occurredAt,
    payload = JSON.stringify(data),
  } of statements) {
    const seq = (before.seq + 1) as Seq;
    const at = recordedAt ? instant(recordedAt) : ((before.recordedAt + 1000) as Instant);
    const draft = {
      id: idOf(seq),
      type,
      schemaVersion,
      payload,
      occurredAt: occurredAt ? instant(occurredAt) : at,
      actor: `test${salt}`,
    };
    const fact = seal(draft, { tenant, seq, recordedAt: at, prevHash: before.hash });
    facts.push(fact);
    before = fact;
  }
  return facts;
};

export type Chains = ReadonlyMap<TenantId, readonly Recorded[]>;

export const chainsOf = (...chains: readonly (readonly Recorded[])[]): Chains =>
  new Map(chains.map((facts) => [(facts[0] as Recorded).tenant, facts]));

/** Delivers what is in `chains`, tenants in turn, and ends; facts put in meanwhile are delivered too. */
export const feedOf = (chains: Chains): StreamFeed => ({
  subscribe: async function* ({ from, signal, batchSize = 1000, untilCaughtUp = false }) {
    const taken = new Map(from);
    for (let delivered = true; !signal.aborted; ) {
      delivered = false;
      for (const [tenant, facts] of chains) {
        const start = taken.get(tenant) ?? 0;
        const page = facts.slice(start, start + batchSize);
        if (page.length === 0 || signal.aborted) continue;
        taken.set(tenant, (start + page.length) as Seq);
        delivered = true;
        yield { tenant, facts: page };
      }
      if (delivered) continue;
      if (untilCaughtUp) return;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  },
  [Symbol.asyncDispose]: async () => undefined,
});

export interface ProjectionDatabase extends AsyncDisposable {
  readonly database: FreshDatabase;
  /** As the role that projects. */
  readonly pool: Pool;
  /** As the schema's owner. */
  readonly owner: Pool;
}

const migrated: DatabaseTemplate = {
  name: 'projections',
  prepare: async (connection) => {
    const pool = connect({ url: connectionUrl(connection) });
    try {
      await migrate(pool, [LEDGER_MIGRATIONS, PROJECTION_MIGRATIONS]);
    } finally {
      await pool.end();
    }
  },
};

/** A database with the tables of `projectors`, whose DDL is in `folder`. */
export const projectionDatabase = async (
  projectors: readonly AnyProjector[],
  folder?: URL,
): Promise<ProjectionDatabase> => {
  const database = await freshDatabase({ template: migrated });
  const owner = connect({ url: database.url, max: 2 });
  const pool = connect({ url: database.url, max: 8, role: RUNTIME_ROLE });
  await ensureReadModels(owner, projectors, folder);
  return {
    database,
    owner,
    pool,
    [Symbol.asyncDispose]: async () => {
      await Promise.all([owner.end(), pool.end()]);
      await database[Symbol.asyncDispose]();
    },
  };
};

/** Every row of the read models and every checkpoint, as texts in an order that depends on nothing else. */
export const dump = async (pool: Pool, projectors: readonly AnyProjector[]): Promise<readonly string[]> => {
  const lines: string[] = [];
  for (const projector of projectors) {
    const { rows } = await pool.query<{ line: string }>(
      `SELECT '${projector.name} ' || t::text AS line FROM ${tableOf(projector)} t ORDER BY t::text COLLATE "C"`,
    );
    lines.push(...rows.map(({ line }) => line));
  }
  const { rows } = await pool.query<{ line: string }>(
    `SELECT concat_ws(' ', projection, tenant, seq, encode(hash, 'hex'), status, fault_seq) AS line FROM projections.checkpoints ORDER BY 1`,
  );
  return [...lines, ...rows.map(({ line }) => line)];
};
