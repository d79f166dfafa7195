// A tenant from one store of the ledger to another, while it is in use. Its facts are brought while it takes appends; for
// the last of them it is closed for a moment; then the store that had it gives it up, and only after that the other one
// opens it. At no point do two stores take its appends, wherever this is killed: run again, it goes on.
import { randomUUID } from 'node:crypto';
import { type PlacementCommand, placements } from '#commands/placements.ts';
import { runCommand } from '#commands/run.ts';
import { OPERATORS } from '#commands/tenants.ts';
import type { Instant, TenantId } from '#schemas/ids.ts';
import { CarryError, type ShareTaker, type Trust } from '#streams/carry.ts';
import { type CopySource, copyChain } from '#streams/copy.ts';
import type { TenantFence } from '#streams/postgres/moves.ts';
import type { Shard } from '#streams/sharded/routing.ts';
import type { StreamStore } from '#streams/stream.ts';
import { ensureOperators } from './operators.ts';
import { readPlacement } from './placement.ts';

/** One of the stores of a ledger, as a move needs it. */
export interface MovableShard extends CopySource {
  readonly taker: ShareTaker;
  readonly fence: TenantFence;
}

/** The steps of a move, each told when it is done. */
export type MoveStep =
  | 'begun'
  | 'awaited'
  | 'brought'
  | 'closed'
  | 'proved'
  | 'given-up'
  | 'placed'
  | 'opened';

export interface MoveOptions {
  readonly tenant: TenantId;
  readonly to: Shard;
  readonly shards: ReadonlyMap<Shard, MovableShard>;
  /** The store of the operators' chain. */
  readonly home: StreamStore;
  readonly trust: Trust;
  readonly actor: string;
  readonly now: () => Instant;
  /** Ends it before the tenant is closed; what is brought stays. */
  readonly signal: AbortSignal;
  readonly onStep?: (step: MoveStep) => void;
}

export interface Moved {
  readonly from: Shard;
  readonly to: Shard;
  readonly epoch: number;
  /** Milliseconds for which the tenant took no appends. */
  readonly closedMs: number;
}

/** Why a tenant does not move; nothing was changed. */
export class MoveRefused extends Error {
  override readonly name = 'MoveRefused';
}

const ROUNDS_MAX = 20;
/** So few are brought while the tenant is closed. */
const LAST_FACTS_MAX = 500;

/** Nothing when the signal came. Throws `MoveRefused`, `CarryError`, `StreamError`. */
export const moveTenant = async (options: MoveOptions): Promise<Moved | undefined> => {
  const { tenant, to, onStep } = options;
  const { from, epoch, placed } = await begin(options);
  const source = shardOf(options, from);
  const target = shardOf(options, to);
  onStep?.('begun');
  if (placed) {
    await target.fence.open(tenant, epoch);
    return { from, to, epoch, closedMs: 0 };
  }
  if (from === to) {
    await source.fence.reopen(tenant, epoch);
    await record(options, { type: 'PlaceTenant', placedTenant: tenant, epoch });
    return { from, to, epoch, closedMs: 0 };
  }
  await target.fence.await(tenant, epoch);
  onStep?.('awaited');
  if ((await source.fence.standing(tenant)) !== 'gone') {
    if (!(await bring(options, source, target))) return undefined;
    onStep?.('brought');
  }
  const closedAt = performance.now();
  await handOver(options, { source, target, epoch });
  await record(options, { type: 'PlaceTenant', placedTenant: tenant, epoch });
  onStep?.('placed');
  await target.fence.open(tenant, epoch);
  onStep?.('opened');
  return { from, to, epoch, closedMs: performance.now() - closedAt };
};

const shardOf = ({ shards }: MoveOptions, name: Shard): MovableShard => {
  const shard = shards.get(name);
  if (shard) return shard;
  throw new MoveRefused(`there is no shard ${name}; there are ${[...shards.keys()].join(', ')}`);
};

interface Begun {
  readonly from: Shard;
  readonly epoch: number;
  /** All that is left of an earlier run is to open the tenant. */
  readonly placed: boolean;
}

/** The move on record; an earlier run's goes on. */
const begin = async (options: MoveOptions): Promise<Begun> => {
  const { tenant, to, home, actor, now } = options;
  if (tenant === OPERATORS)
    throw new MoveRefused(`${tenant} stays at home: its chain says where the other tenants are`);
  const { shard: from, epoch, to: under } = await readPlacement(home, tenant);
  shardOf(options, to);
  const source = shardOf(options, from);
  const standing = await source.fence.standing(tenant);
  if (standing === undefined) throw new MoveRefused(`there is no tenant ${tenant}`);
  if (under === undefined && to === from && standing === 'arriving') return { from, epoch, placed: true };
  if (under === to) return { from, epoch, placed: false };
  if (standing === 'gone')
    throw new MoveRefused(
      `${from} has given ${tenant} up to ${under ?? 'another store'}, and only the last step is left: run the move to ${under ?? 'it'} once more first`,
    );
  await ensureOperators(home, { actor, at: now() });
  await record(options, { type: 'BeginMove', placedTenant: tenant, to });
  return { from, epoch: epoch + 1, placed: false };
};

const record = async ({ home, actor, now }: MoveOptions, command: PlacementCommand): Promise<void> => {
  const context = { tenant: OPERATORS, actor, at: now(), key: randomUUID() };
  const outcome = await runCommand({ store: home, decider: placements }, command, context);
  if (outcome.kind === 'refused') throw new MoveRefused(outcome.refusal.message);
};

/** Until little is left; `false` when the signal came. */
const bring = async (
  { tenant, trust, signal }: MoveOptions,
  source: MovableShard,
  { taker }: MovableShard,
): Promise<boolean> => {
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    await copyChain({ source, taker, trust, signal }, tenant);
    if (signal.aborted) return false;
    const head = await source.taker.position(tenant);
    const brought = await taker.position(tenant);
    if (head.seq - brought.seq <= LAST_FACTS_MAX) break;
  }
  return true;
};

interface HandingOver {
  readonly source: MovableShard;
  readonly target: MovableShard;
  readonly epoch: number;
}

/** Closes the tenant, brings what is left, proves that both end alike, and has the source give it up. */
const handOver = async (
  { tenant, trust, onStep }: MoveOptions,
  { source, target, epoch }: HandingOver,
): Promise<void> => {
  const gone = (await source.fence.standing(tenant)) === 'gone';
  if (!gone) {
    await source.fence.close(tenant, epoch);
    onStep?.('closed');
  }
  try {
    const signal = new AbortController().signal;
    if (!gone) await copyChain({ source, taker: target.taker, trust, signal }, tenant);
    const end = await source.taker.position(tenant);
    const brought = await target.taker.position(tenant);
    if (end.seq !== brought.seq || end.hash !== brought.hash)
      throw new CarryError(
        'other-history',
        `${tenant}: the source ends at fact ${end.seq}, the target at ${brought.seq}, and the two are not alike`,
      );
    onStep?.('proved');
    await source.fence.giveUp(tenant, epoch, end);
    onStep?.('given-up');
  } catch (error) {
    // Given up it is not; where even this fails, the next run goes on.
    if (!gone) await source.fence.reopen(tenant, epoch).catch(() => undefined);
    throw error;
  }
};
