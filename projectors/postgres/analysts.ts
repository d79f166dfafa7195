// Analysts of one tenant: login roles that may ask the views, bound to the tenant by a line in projections.analysts,
// which the policies of the views read (isolation.ts). Only the schema's owner may make or drop them.
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import type { Instant, TenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import { type Client, type Pool, sqlState, streamError, transaction } from '#streams/postgres/connect.ts';
import { ANALYST_ROLE } from './isolation.ts';

export interface Analyst {
  readonly role: string;
  readonly tenant: TenantId;
  readonly createdAt: Instant;
  /** False when somebody dropped the role itself or took its login away: the line is left over. */
  readonly mayLogIn: boolean;
}

export interface NewAnalyst {
  readonly role: string;
  readonly tenant: TenantId;
  /** Never leaves this process: the server gets its SCRAM verifier. */
  readonly password: string;
}

/** `no-such-tenant`: it has no chain. `role-taken`: a role of this name exists in the cluster, or is bound already. */
export type Created = 'created' | 'no-such-tenant' | 'role-taken';

/** `role-owns-objects`: it made something of its own, in this database or in another. */
export type Dropped = 'dropped' | 'no-such-analyst' | 'role-owns-objects';

const ROLE = /^[a-z][a-z0-9_]{0,62}$/;
const OURS = /^(?:pg_|prov_ledger_)/;

/** Throws `RangeError` for a name that a role of ours may not have. */
export const analystRole = (raw: string): string => {
  if (!ROLE.test(raw) || OURS.test(raw))
    throw new RangeError(
      `${JSON.stringify(raw).slice(0, 80)} is no name for an analyst: use up to 63 of a-z, 0-9 and _, starting with a letter, and not with pg_ or prov_ledger_`,
    );
  return raw;
};

/** A name that says nothing of its tenant: every role of a cluster can read the names of all others. */
export const opaqueRole = (): string => `analyst_${randomBytes(6).toString('hex')}`;

/** 192 random bits. */
export const randomPassword = (): string => randomBytes(24).toString('base64url');

/** Throws `RangeError`. Printable ASCII only: of anything else SASLprep (RFC 4013) makes what a client may not. */
export const analystPassword = (raw: string): string => {
  if (!/^[\u0020-\u007e]{16,200}$/.test(raw))
    throw new RangeError('that is no password for an analyst: use 16 to 200 printable ASCII characters');
  return raw;
};

const ITERATIONS = 4096;

/** What PostgreSQL stores of a password (RFC 5802 section 3), so that no log and no statistics see the password. */
export const scramVerifier = (password: string, salt: Buffer = randomBytes(16)): string => {
  const salted = pbkdf2Sync(password, salt, ITERATIONS, 32, 'sha256');
  const keyed = (name: string): Buffer => createHmac('sha256', salted).update(name).digest();
  const storedKey = createHash('sha256').update(keyed('Client Key')).digest('base64');
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${storedKey}:${keyed('Server Key').toString('base64')}`;
};

/**
 * Makes the role and binds it, or does nothing. The pool's user must own the schema and have CREATEROLE. Throws
 * `StreamError`: `forbidden` when it may not.
 */
export const createAnalyst = (pool: Pool, { role, tenant, password }: NewAnalyst): Promise<Created> =>
  asOwner(pool, async (client) => {
    const quoted = `"${analystRole(role)}"`;
    const { rows } = await client.query<{ tenant: boolean; role: boolean }>(
      `SELECT EXISTS (SELECT FROM ledger.heads WHERE tenant = $1) AS tenant,
              EXISTS (SELECT FROM pg_roles WHERE rolname = $2)
                OR EXISTS (SELECT FROM projections.analysts WHERE role_name = $2) AS role`,
      [tenant, role],
    );
    if (rows[0]?.tenant !== true) return 'no-such-tenant';
    if (rows[0].role) return 'role-taken';
    // The settings are for comfort; what binds is that the role has no right to anything but to ask the views.
    await client.query(
      `CREATE ROLE ${quoted} LOGIN NOCREATEDB NOCREATEROLE INHERIT PASSWORD '${scramVerifier(analystPassword(password))}'`,
    );
    await client.query(`ALTER ROLE ${quoted} SET default_transaction_read_only = on`);
    await client.query(`ALTER ROLE ${quoted} SET statement_timeout = '60s'`);
    await client.query(`ALTER ROLE ${quoted} SET search_path = views`);
    await client.query(`GRANT ${ANALYST_ROLE} TO ${quoted}`);
    await client.query('INSERT INTO projections.analysts (role_name, tenant) VALUES ($1, $2)', [
      role,
      tenant,
    ]);
    return 'created';
  });

/** Analysts of one tenant, or of all, by tenant and name. Throws `StreamError`. */
export const listAnalysts = async (pool: Pool, tenant?: TenantId): Promise<readonly Analyst[]> => {
  try {
    const { rows } = await pool.query<{
      role_name: string;
      tenant: TenantId;
      ms: Instant;
      may_log_in: boolean;
    }>(
      `SELECT a.role_name, a.tenant, (extract(epoch FROM a.created_at) * 1000)::bigint AS ms, coalesce(r.rolcanlogin, false) AS may_log_in
       FROM projections.analysts a LEFT JOIN pg_roles r ON r.rolname = a.role_name
       WHERE $1::text IS NULL OR a.tenant = $1 ORDER BY a.tenant, a.role_name`,
      [tenant ?? null],
    );
    return rows.map(({ role_name: role, ms, may_log_in: mayLogIn, ...row }) => ({
      role,
      tenant: row.tenant,
      createdAt: ms,
      mayLogIn,
    }));
  } catch (error) {
    throw streamError(error);
  }
};

/**
 * Takes the role away. Connections that it still holds see no row from this moment. Only roles that are bound to a
 * tenant here can be dropped. Throws `StreamError`: `forbidden` when the pool's user may not.
 */
export const dropAnalyst = async (pool: Pool, role: string): Promise<Dropped> => {
  try {
    return await asOwner(pool, async (client) => {
      const { rowCount } = await client.query('DELETE FROM projections.analysts WHERE role_name = $1', [
        role,
      ]);
      if (rowCount !== 1) return 'no-such-analyst';
      await client.query(`DROP ROLE IF EXISTS "${analystRole(role)}"`);
      return 'dropped';
    });
  } catch (error) {
    // 2BP01: dependent objects still exist.
    if (error instanceof StreamError && sqlState(error.cause) === '2BP01') return 'role-owns-objects';
    throw error;
  }
};

/** As the user that logged in, not as the role that the pool's connections take on. */
const asOwner = async <T>(pool: Pool, work: (client: Client) => Promise<T>): Promise<T> => {
  try {
    return await transaction(pool, async (client) => {
      await client.query('SET LOCAL ROLE NONE');
      return await work(client);
    });
  } catch (error) {
    if (error instanceof RangeError) throw error;
    if (sqlState(error) === '42501')
      throw new StreamError(
        'forbidden',
        `PostgreSQL refused (${(error as Error).message}): analysts are made and dropped by the owner of the schema, who needs CREATEROLE; let DATABASE_URL name that user`,
        { cause: error },
      );
    throw streamError(error);
  }
};
