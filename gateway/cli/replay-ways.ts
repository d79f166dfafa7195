// The ways that `replay prove` goes: in this process, in processes with other time zones and locales, and through PostgreSQL.

import { projectors } from '#projectors/index.ts';
import { rebuild } from '#projectors/postgres/rebuild/rebuild.ts';
import { skipsIn } from '#projectors/rebuild/skips.ts';
import type { ReplayFeed } from '#replay-harness/feed.ts';
import { fixtureFeed } from '#replay-harness/feed.ts';
import { chanceOf } from '#replay-harness/fixtures/chance.ts';
import { shuffledPieces } from '#replay-harness/prove/shuffle.ts';
import type { Way } from '#replay-harness/prove/way.ts';
import { type ReplayWayOptions, replayWay, tableModels } from '#replay-harness/prove/ways.ts';
import type { CommandContext } from './command.ts';
import { CliError } from './exit.ts';
import { figure } from './output.ts';
import { loadInto } from './replay-load.ts';
import { fixtureFeedOf, fixturePieces } from './replay-source.ts';
import type { ScratchLedger } from './world.ts';

export const WAYS = ['batches', 'threads', 'restarts', 'arrival', 'environment', 'postgres'] as const;
export type WayGroup = (typeof WAYS)[number];

export interface ProvingOptions {
  readonly fixture: string;
  readonly events?: number | undefined;
  readonly seed: number;
  readonly ways: readonly WayGroup[];
  readonly quiet?: boolean | undefined;
  /** For what does not fit into memory. */
  readonly folder: string;
  /** Closes what the ways have opened. */
  readonly open: AsyncDisposableStack;
}

interface MakingOptions extends ProvingOptions {
  /** How many the history has; known when the first way is gone. */
  readonly facts: () => number;
}

type Making = (context: CommandContext, options: MakingOptions) => readonly Way[];

/** The first is the measure: one thread, a thousand facts at once, from the beginning to the end. */
export const waysOf = (context: CommandContext, options: ProvingOptions): readonly Way[] => {
  const measure = here(context, options, { name: 'one thread, batches of 1,000' });
  let facts = 1;
  const counting: Way = {
    ...measure,
    walk: async (asked) => {
      const walked = await measure.walk(asked);
      if (asked.rows === undefined) facts = walked.chains?.reduce((sum, { seq }) => sum + seq, 0) ?? 1;
      return walked;
    },
  };
  const made = [counting];
  for (const group of WAYS)
    if (options.ways.includes(group))
      made.push(...MAKING[group](context, { ...options, facts: () => facts }));
  return made;
};

const here = (
  { world }: CommandContext,
  { fixture, events, folder }: ProvingOptions,
  way: Partial<ReplayWayOptions> & Pick<ReplayWayOptions, 'name'>,
): Way => {
  const { signal } = world;
  return replayWay({
    feed: (asked) => fixtureFeedOf(fixture, { events: asked ?? events, signal }),
    projectors,
    workers: 0,
    batchSize: 1_000,
    folder,
    signal,
    ...way,
  });
};

// Zones with daylight saving by halves and quarters of an hour and across the date line; locales that sort, fold case, and
// write digits and years otherwise.
const ENVIRONMENTS = [
  { TZ: 'Asia/Kathmandu', LC_ALL: 'tr_TR.UTF-8' },
  { TZ: 'Pacific/Apia', LC_ALL: 'sv_SE.UTF-8' },
  { TZ: 'Australia/Lord_Howe', LC_ALL: 'ar_EG.UTF-8' },
  { TZ: 'America/St_Johns', LC_ALL: 'th_TH.UTF-8' },
] as const;

const MAKING: { readonly [Group in WayGroup]: Making } = {
  batches: (context, options) =>
    [1, 7, 20_000].map((batchSize) =>
      here(context, options, { name: `batches of ${figure(batchSize)}`, batchSize }),
    ),
  threads: (context, options) =>
    [1, 2, 4].map((workers) => here(context, options, { name: `threads: ${workers}`, workers })),
  restarts: (context, options) => {
    const { seed, facts } = options;
    return [seed, seed + 1].map((each) =>
      here(context, options, {
        name: `stopped three times, seed ${each}`,
        restarts: { seed: each, times: 3, facts },
      }),
    );
  },
  arrival: (context, options) => {
    const { fixture, seed, events } = options;
    // The first events of a shuffled history are other ones.
    if (events !== undefined) return [];
    return [seed, seed + 1].map((each) =>
      here(context, options, {
        name: `tenants arrive in another order, seed ${each}`,
        takesEvents: false,
        feed: async () => {
          const { pieces } = await fixturePieces(fixture, context.world.signal);
          return fixtureFeed({ name: fixture, pieces: () => shuffledPieces(pieces(), chanceOf(each)) });
        },
      }),
    );
  },
  environment: (context, options) =>
    ENVIRONMENTS.map((environment) => elsewhere(context, options, environment)),
  postgres: (context, options) => throughPostgres(context, options),
};

/** The program in a process of its own, whose zone and locale are others. */
const elsewhere = (
  { world }: CommandContext,
  { fixture, events }: ProvingOptions,
  environment: (typeof ENVIRONMENTS)[number],
): Way => ({
  name: `TZ=${environment.TZ} LC_ALL=${environment.LC_ALL}`,
  takesEvents: true,
  walk: async (asked) => {
    const limit = asked.events ?? events;
    const args = ['replay', '--fixture', fixture, '--workers', '0', '--quiet', '--json'];
    if (limit !== undefined) args.push('--events', String(limit));
    if (asked.rows !== undefined) args.push('--rows', asked.rows);
    const { code, stdout, stderr } = await world.again(args, environment);
    if (world.signal.aborted) return { models: [] };
    const answer = answerOf(stdout);
    if (!answer?.outcome)
      throw new CliError(
        'internal',
        'way-failed',
        `the replay elsewhere ended with ${code}: ${stderr.trim()}`,
      );
    return { chains: answer.outcome.chains, models: answer.outcome.models, fault: answer.fault };
  },
});

type Answer = Awaited<ReturnType<Way['walk']>>;

const answerOf = (
  stdout: string,
): { readonly outcome?: Answer; readonly fault?: Answer['fault'] } | undefined => {
  try {
    return JSON.parse(stdout) as { readonly outcome?: Answer };
  } catch {
    return undefined;
  }
};

/** One ledger for all three; loaded when the first of them is gone. */
const throughPostgres = (context: CommandContext, options: ProvingOptions): readonly Way[] => {
  const { world } = context;
  const { fixture, events, quiet, folder, open } = options;
  let loading: Promise<ScratchLedger> | undefined;
  const load = async (): Promise<ScratchLedger> => {
    const scratch = open.use(await world.scratch());
    await loadInto(context, scratch, { fixture, events, quiet: quiet ?? true });
    return scratch;
  };
  const loaded = (): Promise<ScratchLedger> => (loading ??= load());
  const table = (name: string, prepare: (scratch: ScratchLedger) => Promise<void>): Way => {
    let preparing: Promise<ScratchLedger> | undefined;
    const prepared = async (): Promise<ScratchLedger> => {
      const scratch = await loaded();
      await prepare(scratch);
      return scratch;
    };
    return {
      name,
      takesEvents: false,
      walk: async (asked) => {
        const { pool } = await (preparing ??= prepared());
        return await tableModels({ pool, projectors, folder, rows: asked.rows });
      },
    };
  };
  return [
    here(context, options, {
      name: 'PostgreSQL: replayed from the store',
      takesEvents: false,
      workers: 1,
      feed: async () => (await (await loaded()).replayFeed?.({})) as ReplayFeed,
    }),
    table('PostgreSQL: projected live', ({ catchUp }) => catchUp(world.signal)),
    table('PostgreSQL: rebuilt', async ({ pool, store, feed }) => {
      for (const projector of projectors)
        await rebuild({
          pool,
          store,
          feed,
          projector,
          skips: skipsIn(store),
          signal: world.signal,
          // A fact about it would make the history another one.
          attest: async () => undefined,
        });
    }),
  ];
};
