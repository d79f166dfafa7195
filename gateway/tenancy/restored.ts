// Where the tenants of a ledger are that was brought to one database whole. The placements that came along are of before:
// a tenant that another database of the ledger still has stays there, and is given up where it was brought to; all others
// are placed at home, on record.
import { randomUUID } from 'node:crypto';
import { type PlacementState, placements } from '#commands/placements.ts';
import { runCommand } from '#commands/run.ts';
import { OPERATORS } from '#commands/tenants.ts';
import { type Instant, type TenantId, tenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import { HOME } from '#schemas/placements.ts';
import { CarryError } from '#streams/carry.ts';
import type { StreamStore } from '#streams/stream.ts';
import type { MovableShard } from './move.ts';

export interface PlaceRestored {
  /** Of the ledger, with the home that it was brought to; nobody else uses them yet. */
  readonly shards: ReadonlyMap<string, MovableShard>;
  /** The store of the home. */
  readonly home: StreamStore;
  readonly actor: string;
  readonly now: () => Instant;
}

/** Throws `CarryError` `other-history` where a server has another chain of a tenant than was brought; `StreamError`. */
export const placeRestored = async (options: PlaceRestored): Promise<void> => {
  for (const [tenant, placed] of await placementsIn(options.home)) {
    if (placed.shard === HOME && placed.to === undefined) continue;
    if (!(await stays(options, tenant, placed))) await placeAtHome(options, tenant, placed);
  }
};

const placementsIn = async (home: StreamStore): Promise<ReadonlyMap<TenantId, PlacementState>> => {
  const found = new Map<TenantId, PlacementState>();
  for await (const page of home.read(OPERATORS))
    for (const fact of page) {
      if (!fact.type.startsWith('placements.')) continue;
      const event = decodeFact(fact) as unknown as Parameters<typeof placements.evolve>[1];
      const tenant = tenantId(event.data.placed_tenant);
      found.set(tenant, placements.evolve(found.get(tenant) ?? placements.initial, event));
    }
  return found;
};

/** False where the server it is placed on is none of these, or has it no longer. */
const stays = async (
  { shards }: PlaceRestored,
  tenant: TenantId,
  { shard, epoch }: PlacementState,
): Promise<boolean> => {
  const home = shards.get(HOME);
  const there = shard === HOME ? undefined : shards.get(shard);
  const standing = await there?.fence.standing(tenant);
  if (!home || !there || (standing !== 'here' && standing !== 'leaving')) return false;
  const end = await home.taker.position(tenant);
  if (end.seq === 0) return true;
  const [hash] = await there.taker.hashes(tenant, { from: end.seq, to: end.seq });
  if (hash !== end.hash)
    throw new CarryError(
      'other-history',
      `${tenant}: ${shard} has another fact ${end.seq} than was restored: leave ${shard} out of PROV_LEDGER_SHARDS if what was restored is right`,
    );
  await home.fence.close(tenant, epoch);
  await home.fence.giveUp(tenant, epoch, end);
  return true;
};

const placeAtHome = async (
  { home, actor, now }: PlaceRestored,
  placedTenant: TenantId,
  { epoch, to }: PlacementState,
): Promise<void> => {
  const send = async (command: Parameters<typeof placements.decide>[0]): Promise<void> => {
    const context = { tenant: OPERATORS, actor, at: now(), key: randomUUID() };
    const outcome = await runCommand({ store: home, decider: placements }, command, context);
    if (outcome.kind !== 'recorded')
      throw new Error(`the placement of ${placedTenant} was not recorded: ${outcome.kind}`);
  };
  if (to !== HOME) await send({ type: 'BeginMove', placedTenant, to: HOME });
  await send({ type: 'PlaceTenant', placedTenant, epoch: to === HOME ? epoch : epoch + 1 });
};
