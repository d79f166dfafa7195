// Several tenants' read models in one database, with an analyst for each: what the tests of isolation are given.
import { projectors } from '#projectors/index.ts';
import { createAnalyst, opaqueRole, randomPassword } from '#projectors/postgres/analysts.ts';
import { postgresRowSink } from '#projectors/postgres/sink.ts';
import { runProjectors } from '#projectors/run.ts';
import type { Recorded } from '#schemas/event.ts';
import type { TenantId } from '#schemas/ids.ts';
import { connect, type Pool, type Queryable } from '#streams/postgres/connect.ts';
import {
  chain,
  chainsOf,
  feedOf,
  type ProjectionDatabase,
  projectionDatabase,
  type Said,
} from '../chains.ts';

export interface Login {
  readonly tenant: TenantId;
  readonly role: string;
  readonly password: string;
  readonly pool: Pool;
}

export interface TenantsApart extends AsyncDisposable {
  readonly db: ProjectionDatabase;
  readonly logins: readonly Login[];
  /** A connection of a role with a password, as anybody would make it. */
  readonly connectAs: (role: string, password: string) => Pool;
}

/** The tenant's text stands in every one of its receipts; `ids` are theirs. */
export interface TenantFacts {
  readonly tenant: TenantId;
  readonly ids: readonly string[];
}

const said = ({ tenant, ids }: TenantFacts): readonly Said[] => [
  { type: 'tenants.TenantCreated', data: { tenant, display_name: `name of ${tenant}` } },
  ...ids.map((id, index) => ({
    type: 'receipts.ReceiptRecorded',
    schemaVersion: 3,
    data: {
      id,
      tenant,
      action: `action of ${tenant}`,
      actor: `actor ${index % 3} of ${tenant}`,
      decision: index % 2 === 0 ? 'allow' : 'deny',
      created_at: '2026-11-21T09:00:00Z',
      inputs: { secret: tenant },
    },
  })),
  {
    type: 'gates.WritePathRolledBack',
    data: { route: `route of ${tenant}`.replaceAll(' ', '-'), epoch: 1, reason: `reason of ${tenant}` },
  },
  {
    type: 'timers.TimerScheduled',
    data: { timer_id: `timer-of-${tenant}`, saga: 'ramps', key: tenant, due_at: '2026-11-21T09:00:00Z' },
  },
  {
    type: 'placements.MoveStarted',
    data: { placed_tenant: `placed-by-${tenant}`, from: 'home', to: `shard-of-${tenant}`, epoch: 1 },
  },
  {
    type: 'flags.FlagSet',
    data: { feature: `feature-of-${tenant}`, pct: 10, reason: `reason of ${tenant}` },
  },
];

export const tenantsApart = async (tenants: readonly TenantFacts[]): Promise<TenantsApart> => {
  const db = await projectionDatabase(projectors);
  const chains = chainsOf(...tenants.map((facts) => chain(facts.tenant, said(facts))));
  for (const [tenant, facts] of chains) {
    const { seq, hash, recordedAt } = facts.at(-1) as Recorded;
    await db.owner.query(
      'INSERT INTO ledger.heads (tenant, seq, hash, recorded_at) VALUES ($1, $2, $3, $4)',
      [tenant, seq, Buffer.from(hash, 'hex'), new Date(recordedAt).toISOString()],
    );
  }
  await runProjectors({
    feed: feedOf(chains),
    sink: postgresRowSink({ pool: db.pool }),
    projectors,
    signal: new AbortController().signal,
    untilCaughtUp: true,
  });
  const connectAs = (role: string, password: string): Pool => {
    const url = new URL(db.database.url);
    url.username = role;
    url.password = password;
    return connect({ url: url.href, max: 1, name: 'analyst' });
  };
  const logins: Login[] = [];
  for (const { tenant } of tenants) {
    const login = { tenant, role: opaqueRole(), password: randomPassword() };
    const outcome = await createAnalyst(db.owner, login);
    if (outcome !== 'created') throw new Error(`the analyst of ${tenant} was not made: ${outcome}`);
    logins.push({ ...login, pool: connectAs(login.role, login.password) });
  }
  return {
    db,
    logins,
    connectAs,
    [Symbol.asyncDispose]: async () => {
      for (const { pool, role } of logins) {
        await pool.end();
        // Roles are the server's, not the database's.
        await db.owner.query('DELETE FROM projections.analysts WHERE role_name = $1', [role]);
        await db.owner.query(`DROP ROLE IF EXISTS ${role}`);
      }
      await db[Symbol.asyncDispose]();
    },
  };
};

/** The SQLSTATE that a statement is refused with, or `allowed`. */
export const refusal = (pool: Queryable, sql: string): Promise<string> =>
  pool.query(sql).then(
    () => 'allowed',
    ({ code }: { code?: string }) => code ?? 'no code',
  );
