// prov-ledger replay: does history still mean the same. From a fixture, an export or the ledger itself; with a signed
// report, and its verification.
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Command } from 'commander';
import type { AnyProjector } from '#projectors/batch.ts';
import { projectors } from '#projectors/index.ts';
import type { ReplayFeed } from '#replay-harness/feed.ts';
import { machineIdentity, programIdentity } from '#replay-harness/program.ts';
import { rowsWriter } from '#replay-harness/prove/rows.ts';
import { type ReplayResult, type ReplayState, replay } from '#replay-harness/replay.ts';
import { signReport, statementOf } from '#replay-harness/report.ts';
import { allSagas } from '#sagas/index.ts';
import { instantText, type TenantId } from '#schemas/ids.ts';
import {
  aCount,
  aTenant,
  type CommandContext,
  type Ending,
  leaf,
  type Options,
  parsedBy,
  type Run,
} from './command.ts';
import { CliError } from './exit.ts';
import { inScratchFolder } from './fixtures.ts';
import { startProgress } from './progress.ts';
import { answerReplay } from './replay-answer.ts';
import { loadInto } from './replay-load.ts';
import { replayProveCommand } from './replay-prove.ts';
import { replayVerifyCommand } from './replay-report.ts';
import { exportFeedOf, fixtureFeedOf } from './replay-source.ts';
import { readState, stateFolder, writeState } from './replay-state.ts';
import { replayViewCommand } from './replay-view.ts';

interface ReplayOptions extends Options {
  readonly fixture?: string;
  readonly export?: string;
  readonly ledger?: boolean;
  readonly tenant?: TenantId;
  readonly jwks?: string;
  readonly events?: number;
  readonly workers: number;
  readonly batchSize: number;
  readonly readModels?: readonly AnyProjector[];
  readonly store: 'memory' | 'postgres';
  readonly report?: string;
  readonly state?: string;
  readonly rows?: string;
  readonly quiet?: boolean;
}

const WORKERS_MAX = 64;

const aWorkerCount = parsedBy((raw: string): number => {
  if (!/^\d{1,2}$/.test(raw) || Number(raw) > WORKERS_MAX)
    throw new Error(`use a whole number from 0 to ${WORKERS_MAX}; 0 works without threads`);
  return Number(raw);
});

const someReadModels = parsedBy((raw: string): readonly AnyProjector[] =>
  raw.split(',').map((name) => {
    const found = projectors.find((projector) => projector.name === name);
    if (found) return found;
    throw new Error(
      `there is no read model ${name}; there are ${projectors.map((each) => each.name).join(', ')}`,
    );
  }),
);

const aStore = parsedBy((raw: string): 'memory' | 'postgres' => {
  if (raw === 'memory' || raw === 'postgres') return raw;
  throw new Error('use memory or postgres');
});

export const replayCommand = (run: Run): Command => {
  const command = leaf<ReplayOptions>(
    run,
    {
      usage: 'replay',
      summary:
        'prove a history anew (hashes, links, Merkle roots, signatures) and fold every read model from it',
      examples: [
        'replay --fixture small.ndjson.zst',
        'replay --fixture large.ndjson.zst --events 1000000 --workers 4 --report report.dsse.json',
        'replay --fixture small.ndjson.zst --store postgres',
        'replay --ledger --tenant acme',
        'replay --export acme.ndjson.gz --jwks jwks.json',
      ],
      build: withOptions,
    },
    async (context, options) => {
      checkSource(options);
      return options.store === 'postgres'
        ? await throughPostgres(context, options)
        : await fromSource(context, options);
    },
  );
  return command
    .addCommand(replayVerifyCommand(run))
    .addCommand(replayProveCommand(run))
    .addCommand(replayViewCommand(run));
};

const withOptions = (command: Command): Command =>
  command
    .option('--fixture <file>', 'from a fixture, plain, gzip or zstd')
    .option('--export <file>', "from a tenant's export; needs --jwks")
    .option('--ledger', 'from the ledger itself, up to where it stands now; nothing is written into it')
    .option('-t, --tenant <tenant>', 'with --ledger: this tenant only', aTenant)
    .option('--jwks <file>', 'with --export: the public keys to trust')
    .option('--events <n>', 'the first so many events only', aCount(999_999_999))
    .option('--workers <n>', 'threads', aWorkerCount, 2)
    .option('--batch-size <n>', 'facts folded at once', aCount(1_000_000), 1_000)
    .option('--read-models <names>', 'these only, with commas between; all unless given', someReadModels)
    .option(
      '--store <store>',
      'with --fixture: postgres loads it into a ledger of its own and replays that',
      aStore,
      'memory',
    )
    .option('--report <file>', 'write a report, signed by the key of the ledger')
    .option('--state <folder>', 'keep there how far it came, and go on from it when it was interrupted')
    .option('--rows <folder>', 'write there every row of every read model, a line each, as it is hashed')
    .option('-q, --quiet', 'no progress');

const checkSource = ({
  fixture,
  export: exported,
  ledger,
  store,
  tenant,
  jwks,
  state,
  rows,
}: ReplayOptions): void => {
  const usage = (code: string, message: string): CliError => new CliError('usage', code, message);
  if ([fixture, exported, ledger || undefined].filter((each) => each !== undefined).length !== 1)
    throw usage(
      'source-missing',
      'say what to replay: --fixture FILE, --export FILE or --ledger, one of the three',
    );
  if (exported !== undefined && jwks === undefined)
    throw usage('keys-missing', 'an export is proved with keys that you trust: give them with --jwks FILE');
  if (tenant !== undefined && !ledger)
    throw usage('no-tenant-here', '--tenant goes with --ledger; a file is replayed as a whole');
  if (rows !== undefined && state !== undefined)
    throw usage('no-rows-here', '--rows goes without --state: rows of an earlier run would be missing');
  if (store === 'postgres' && (fixture === undefined || state !== undefined))
    throw usage('no-store-here', '--store postgres goes with --fixture, and without --state');
};

const fromSource = async (context: CommandContext, options: ReplayOptions): Promise<Ending> => {
  const { fixture, export: exported, jwks = '', events, tenant } = options;
  const { world } = context;
  if (fixture !== undefined)
    return await replayed(context, options, await fixtureFeedOf(fixture, { events, signal: world.signal }));
  if (exported !== undefined)
    return await replayed(
      context,
      options,
      await exportFeedOf(exported, { jwks, events, signal: world.signal }),
    );
  await using ledger = await world.open();
  if (!ledger.replayFeed)
    throw new CliError(
      'unavailable',
      'no-replay-here',
      'this store cannot be replayed: export it and replay that',
    );
  const feed = await ledger.replayFeed({ tenants: tenant && [tenant], events });
  return await replayed(context, options, feed);
};

const throughPostgres = async (context: CommandContext, options: ReplayOptions): Promise<Ending> => {
  const { fixture = '', events, quiet } = options;
  await using scratch = await context.world.scratch();
  const expected = await loadInto(context, scratch, { fixture, events, quiet });
  if (context.world.signal.aborted) return 'interrupted';
  const feed = (await scratch.replayFeed?.({})) as ReplayFeed;
  return await replayed(context, options, { ...feed, name: fixture, ...(expected && { expected }) });
};

const replayed = async (
  context: CommandContext,
  options: ReplayOptions,
  feed: ReplayFeed,
): Promise<Ending> => {
  const { world } = context;
  const { state } = options;
  const result =
    state === undefined
      ? await inScratchFolder((folder) => runReplay(context, options, { feed, folder }))
      : await runReplay(context, options, {
          feed,
          folder: await stateFolder(state),
          from: await readState(state),
        });
  if (state !== undefined && result.state) await writeState(state, result.state);
  else if (state !== undefined) await rm(state, { recursive: true, force: true });
  if (options.report !== undefined && result.verdict !== 'interrupted')
    await writeReport(context, options, { feed, result });
  answerReplay(context.output, feed, result, options);
  if (result.verdict === 'interrupted') return world.signal.aborted ? 'interrupted' : 'internal';
  return result.verdict === 'sound' ? 'ok' : 'refused';
};

interface Running {
  readonly feed: ReplayFeed;
  readonly folder: string;
  readonly from?: ReplayState | undefined;
}

const runReplay = async (
  { world }: CommandContext,
  { workers, batchSize, readModels = projectors, quiet, state, rows }: ReplayOptions,
  { feed, folder, from }: Running,
): Promise<ReplayResult> => {
  if (rows !== undefined) await mkdir(rows, { recursive: true });
  using writer = rows === undefined ? undefined : rowsWriter(rows, readModels);
  const at = { facts: from?.course.counts.facts ?? 0, share: undefined as number | undefined };
  const progress = startProgress({
    terminal: world.stderr,
    unit: 'facts',
    verb: 'replayed',
    enabled: quiet !== true,
    state: () => ({ done: at.facts, share: at.share }),
  });
  // States are written one after the other; a slow disk shall not hold the replay up.
  let writing: Promise<unknown> = Promise.resolve();
  const onState = (now: ReplayState): void => {
    writing = writing.then(() => writeState(state as string, now));
  };
  try {
    const result = await replay({
      feed,
      projectors: readModels,
      sagas: allSagas,
      workers,
      batchSize,
      folder,
      from,
      onRows: writer?.write,
      signal: world.signal,
      onProgress: (now) => Object.assign(at, now),
      ...(state !== undefined && { onState }),
    });
    await writing;
    return result;
  } finally {
    progress.stop();
  }
};

const writeReport = async (
  { world }: CommandContext,
  { workers, batchSize, store, report = '' }: ReplayOptions,
  { feed, result }: { readonly feed: ReplayFeed; readonly result: ReplayResult },
): Promise<void> => {
  const { signer } = await world.keys();
  const statement = statementOf({
    // Where the file lay on this machine is nobody's business.
    name: basename(feed.name),
    result,
    about: {
      finished_at: instantText(world.clock()),
      source: { kind: feed.kind, store },
      settings: { workers, batch_size: batchSize },
      program: await programIdentity(),
      machine: machineIdentity(),
    },
  });
  await writeFile(report, `${JSON.stringify(await signReport(statement, signer), undefined, 2)}\n`);
};
