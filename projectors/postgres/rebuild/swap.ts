// The switch of one tenant: its rows in the live build and those of the rebuilt table change places in one transaction,
// together with their checkpoints. Other tenants are not touched; readers see all of the old rows or all of the new ones.
import { RebuildError } from '#projectors/rebuild/errors.ts';
import type { TenantId } from '#schemas/ids.ts';
import { type Client, transaction } from '#streams/postgres/connect.ts';
import { type BuildRef, liveBuild } from '../builds.ts';
import { columnsOf } from '../columns.ts';
import { tableOf } from '../statements.ts';
import { holdEpoch } from './fill.ts';
import type { Shown } from './switch.ts';
import type { Work } from './work.ts';

interface Place {
  readonly build: number;
  readonly seq: number;
  readonly fault_seq: number | null;
  readonly fault_message: string | null;
}

/** `undefined`: the live rows are further than the rebuilt ones; catch up and try again. */
export const swapTenant = async (work: Work, tenant: TenantId): Promise<Shown | undefined> => {
  const { pool, projector, claim, at } = work;
  const swapped = await transaction(pool, async (client) => {
    await holdEpoch(client, projector, claim);
    const live = await liveBuild(client, projector);
    await beginLive(client, work, { live, tenant });
    const places = await lockPlaces(client, work, [live.build, claim.build], tenant);
    await at('switch-locked');
    const own = places.get(claim.build);
    const standing = places.get(live.build);
    if (!isLevel(work, tenant, own, standing)) return undefined;
    await at('switch-level');
    await exchange(client, work, { live: live.build, tenant });
    await client.query(
      `UPDATE projections.builds SET state = 'kept', live_at = now(), lease_until = NULL, lease_owner = NULL, replaced_version = $2, replaced_build = $4
       WHERE projection = $1 AND version = $2 AND build = $3`,
      [projector.name, projector.version, claim.build, live.build],
    );
    await at('switch-made');
    return { version: projector.version, build: live.build };
  });
  if (swapped) await at('switched');
  return swapped;
};

/** A tenant of which the live build has read nothing yet stands at its beginning: a line to hold, and to put right. */
const beginLive = (
  client: Client,
  { projector: { name, version } }: Work,
  { live, tenant }: { readonly live: BuildRef; readonly tenant: TenantId },
): Promise<unknown> =>
  client.query(
    `INSERT INTO projections.checkpoints (projection, version, build, epoch, tenant, seq, hash, recorded_at)
     VALUES ($1, $2, $3, $4, $5, 0, decode(repeat('00', 32), 'hex'), 'epoch') ON CONFLICT DO NOTHING`,
    [name, version, live.build, live.epoch, tenant],
  );

const isLevel = (
  { projector }: Work,
  tenant: TenantId,
  own: Place | undefined,
  standing: Place | undefined,
): boolean => {
  if (!standing || (own && own.seq >= standing.seq)) return true;
  if (own && own.fault_seq !== null)
    throw new RebuildError(
      'halted',
      `the rebuilt ${projector.name} of ${tenant} halts at fact ${own.fault_seq}, which the one in use has taken: ${own.fault_message}`,
    );
  return false;
};

const lockPlaces = async (
  client: Client,
  { projector: { name, version } }: Work,
  builds: readonly number[],
  tenant: TenantId,
): Promise<ReadonlyMap<number, Place>> => {
  const { rows } = await client.query<Place>(
    `SELECT build, seq, fault_seq, fault_message FROM projections.checkpoints
     WHERE projection = $1 AND version = $2 AND build = ANY ($3) AND tenant = $4 ORDER BY build FOR UPDATE`,
    [name, version, builds, tenant],
  );
  return new Map(rows.map((row) => [row.build, row]));
};

/** Rows and checkpoint of the tenant change places between two builds of a version. */
export const exchange = async (
  client: Client,
  { projector, claim }: Pick<Work, 'projector' | 'claim'>,
  { live, tenant }: { readonly live: number; readonly tenant: TenantId },
): Promise<void> => {
  const columns = ['tenant', ...columnsOf(projector).map(({ name }) => name)].join(', ');
  const [liveTable, ownTable] = [tableOf(projector, live), tableOf(projector, claim.build)];
  await client.query(
    `CREATE TEMPORARY TABLE rebuilt_away ON COMMIT DROP AS SELECT ${columns} FROM ${liveTable} WHERE tenant = '${tenant}'`,
  );
  await client.query(`DELETE FROM ${liveTable} WHERE tenant = $1`, [tenant]);
  await client.query(
    `INSERT INTO ${liveTable} (${columns}) SELECT ${columns} FROM ${ownTable} WHERE tenant = $1`,
    [tenant],
  );
  await client.query(`DELETE FROM ${ownTable} WHERE tenant = $1`, [tenant]);
  await client.query(`INSERT INTO ${ownTable} (${columns}) SELECT ${columns} FROM rebuilt_away`);
  await client.query(
    `UPDATE projections.checkpoints c SET seq = o.seq, hash = o.hash, recorded_at = o.recorded_at, updated_at = now(), status = o.status,
       fault_seq = o.fault_seq, fault_id = o.fault_id, fault_message = o.fault_message, fault_at = o.fault_at
     FROM projections.checkpoints o
     WHERE c.projection = $1 AND c.version = $2 AND c.tenant = $3 AND o.projection = $1 AND o.version = $2 AND o.tenant = $3
       AND ((c.build = $4 AND o.build = $5) OR (c.build = $5 AND o.build = $4))`,
    [projector.name, projector.version, tenant, live, claim.build],
  );
};
