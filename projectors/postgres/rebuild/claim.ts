// Who rebuilds a read model: one process, for as long as it says that it is alive. It holds an advisory lock, which the
// server gives back when the connection ends, so that a killed rebuild is taken up at once; and a lease, so that one
// that stands still is superseded after it. Whoever takes over counts the build's epoch up: the one before, should it
// wake, changes nothing.
import { hostname } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import type { AnyProjector } from '#projectors/batch.ts';
import { RebuildError } from '#projectors/rebuild/errors.ts';
import type { TenantId } from '#schemas/ids.ts';
import { type Client, type Pool, withClient } from '#streams/postgres/connect.ts';
import type { BuildRef } from '../builds.ts';
import { asOwner } from '../owner.ts';
import { createBuild, readModelDdl } from '../read-models.ts';
import { dropBuild } from './drop.ts';

export interface ClaimOptions {
  readonly pool: Pool;
  readonly projector: AnyProjector;
  /** Of the projector as this program has it. */
  readonly digest: string;
  readonly folder?: URL | undefined;
  readonly tenant?: TenantId | undefined;
  /** How long a process may be silent; 10,000 unless told. */
  readonly leaseMs?: number | undefined;
  readonly owner?: string | undefined;
}

export interface Claim extends BuildRef, AsyncDisposable {
  readonly leaseMs: number;
  readonly state: 'building' | 'proved';
  /** The build was begun by a rebuild that did not come to its end. */
  readonly resumed: boolean;
  /** Aborts when another process took over. */
  readonly lost: AbortSignal;
}

// Arbitrary constants: the first part of the advisory lock's key, and the key under which claims are made one by one.
const LOCK_CLASS = 7_203_116;
const CLAIM_KEY = 7_203_117;
const LEASE_MS = 10_000;

export const processName = (): string => `${hostname()}/${process.pid}`;

/** Throws `RebuildError`: `under-way`. */
export const claimRebuild = async (options: ClaimOptions): Promise<Claim> => {
  const { pool, projector, leaseMs = LEASE_MS } = options;
  const guard = await pool.connect();
  try {
    const alone = await tryLock(guard, projector);
    const taken = await asOwner(pool, (client) => takeBuild(client, { ...options, alone, leaseMs }));
    return { ...taken, leaseMs, ...keepAlive(pool, guard, { projector, ref: taken, leaseMs }) };
  } catch (error) {
    // The connection ends, and the lock with it.
    guard.release(true);
    throw error;
  }
};

const LOCK_ATTEMPTS = 10;
const LOCK_PAUSE_MS = 100;

/** A killed process's connection ends a moment after it: a lock that is held is asked for again for a second. */
const tryLock = async (guard: Client, { name }: AnyProjector): Promise<boolean> => {
  for (let attempt = 1; ; attempt += 1) {
    const { rows } = await guard.query<{ got: boolean }>(
      'SELECT pg_try_advisory_lock($1, hashtext($2)) AS got',
      [LOCK_CLASS, name],
    );
    if (rows[0]?.got === true || attempt === LOCK_ATTEMPTS) return rows[0]?.got === true;
    await pause(LOCK_PAUSE_MS);
  }
};

interface UnderWay {
  readonly version: number;
  readonly build: number;
  readonly epoch: number;
  readonly state: 'building' | 'proved';
  readonly source_digest: string | null;
  readonly only_tenant: string | null;
  readonly lease_owner: string | null;
  readonly fresh: boolean;
}

interface Taking extends ClaimOptions {
  readonly alone: boolean;
  readonly leaseMs: number;
}

const takeBuild = async (
  client: Client,
  taking: Taking,
): Promise<BuildRef & Pick<Claim, 'state' | 'resumed'>> => {
  const { projector, digest, tenant, alone } = taking;
  await client.query('SELECT pg_advisory_xact_lock($1)', [CLAIM_KEY]);
  const { rows } = await client.query<UnderWay>(
    `SELECT version, build, epoch, state, source_digest, only_tenant, lease_owner, coalesce(lease_until > now(), false) AS fresh
     FROM projections.builds WHERE projection = $1 AND state IN ('building', 'proved') FOR UPDATE`,
    [projector.name],
  );
  const [before] = rows;
  if (before && !alone && before.fresh)
    throw new RebuildError(
      'under-way',
      `${projector.name} is being rebuilt by ${before.lease_owner ?? 'another process'}: wait for it, or end it and try again`,
    );
  const usable =
    before?.version === projector.version &&
    before.source_digest === digest &&
    before.only_tenant === (tenant ?? null);
  if (before && !usable) {
    // A long query on its gate must not make this, and every reader after it, wait.
    await client.query(`SET LOCAL lock_timeout = '2s'`);
    await dropBuild(client, projector, before);
  }
  const ref =
    before && usable
      ? { build: before.build, epoch: before.epoch + 1, state: before.state, resumed: true }
      : await newBuild(client, taking);
  await client.query(
    `UPDATE projections.builds SET epoch = $4, lease_owner = $5, lease_until = now() + $6 * interval '1 millisecond'
     WHERE projection = $1 AND version = $2 AND build = $3`,
    [projector.name, projector.version, ref.build, ref.epoch, taking.owner ?? processName(), taking.leaseMs],
  );
  await client.query(
    'UPDATE projections.checkpoints SET epoch = $4 WHERE projection = $1 AND version = $2 AND build = $3',
    [projector.name, projector.version, ref.build, ref.epoch],
  );
  return ref;
};

const newBuild = async (
  client: Client,
  { projector, digest, folder, tenant }: Taking,
): Promise<BuildRef & Pick<Claim, 'state' | 'resumed'>> => {
  const { rows } = await client.query<{ build: number }>(
    'SELECT coalesce(max(build), 0)::integer + 1 AS build FROM projections.builds WHERE projection = $1 AND version = $2',
    [projector.name, projector.version],
  );
  const build = rows[0]?.build ?? 1;
  const ddl = await readModelDdl(projector, folder, build);
  await createBuild(client, { projector, build, ddl, digest, state: 'building', onlyTenant: tenant });
  return { build, epoch: 1, state: 'building', resumed: false };
};

interface Alive {
  readonly projector: AnyProjector;
  readonly ref: BuildRef;
  readonly leaseMs: number;
}

const keepAlive = (
  pool: Pool,
  guard: Client,
  { projector, ref, leaseMs }: Alive,
): Pick<Claim, 'lost' | typeof Symbol.asyncDispose> => {
  const lost = new AbortController();
  const beat = async (): Promise<void> => {
    try {
      const { rowCount } = await pool.query(
        `UPDATE projections.builds SET lease_until = now() + $5 * interval '1 millisecond'
         WHERE projection = $1 AND version = $2 AND build = $3 AND epoch = $4 AND state IN ('building', 'proved')`,
        [projector.name, projector.version, ref.build, ref.epoch, leaseMs],
      );
      if (rowCount === 0) lost.abort();
    } catch {
      // The server is away: the work itself meets that, and says so.
    }
  };
  const timer = setInterval(() => void beat(), leaseMs / 3);
  return {
    lost: lost.signal,
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      await guard
        .query('SELECT pg_advisory_unlock($1, hashtext($2))', [LOCK_CLASS, projector.name])
        .catch(() => undefined);
      guard.release(true);
    },
  };
};

/** The lease ends with the rebuild, so that the next one need not wait for it. */
export const endLease = async (
  pool: Pool,
  projector: AnyProjector,
  { build, epoch }: BuildRef,
): Promise<void> => {
  await withClient(pool, (client) =>
    client.query(
      'UPDATE projections.builds SET lease_until = NULL, lease_owner = NULL WHERE projection = $1 AND version = $2 AND build = $3 AND epoch = $4',
      [projector.name, projector.version, build, epoch],
    ),
  );
};

export const lostLease = ({ name }: AnyProjector): RebuildError =>
  new RebuildError(
    'lost-lease',
    `another process has taken over the rebuild of ${name}: leave it to that one`,
  );

/** Who was away for long goes on with its build or with none: another may have brought it to its end. */
export const stillUnderWay = async (
  { pool, projector }: Pick<ClaimOptions, 'pool' | 'projector'>,
  build: number,
): Promise<void> => {
  const { rowCount } = await pool.query(
    `SELECT FROM projections.builds
     WHERE projection = $1 AND version = $2 AND build = $3 AND state IN ('building', 'proved')`,
    [projector.name, projector.version, build],
  );
  if (rowCount === 0) throw lostLease(projector);
};
