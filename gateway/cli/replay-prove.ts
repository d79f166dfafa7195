// prov-ledger replay prove: one history in many ways that must not matter.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { projectors } from '#projectors/index.ts';
import { type Proof, prove, type WayProof } from '#replay-harness/prove/prove.ts';
import {
  aCount,
  type CommandContext,
  type Ending,
  leaf,
  type Options,
  parsedBy,
  type Run,
} from './command.ts';
import { CliError } from './exit.ts';
import { aSeed } from './fixtures.ts';
import { count, pairs, visible } from './output.ts';
import { startProgress } from './progress.ts';
import { fixturePieces } from './replay-source.ts';
import { type ProvingOptions, WAYS, type WayGroup, waysOf } from './replay-ways.ts';

interface ProveOptions extends Options {
  readonly fixture?: string;
  readonly events?: number;
  readonly seed: number;
  readonly ways: readonly WayGroup[];
  readonly keep?: string;
  readonly quiet?: boolean;
}

const someWays = parsedBy((raw: string): readonly WayGroup[] =>
  raw.split(',').map((name) => {
    const found = WAYS.find((each) => each === name);
    if (found) return found;
    throw new Error(`there is no way ${name}; there are ${WAYS.join(', ')}`);
  }),
);

export const replayProveCommand = (run: Run): Command =>
  leaf<ProveOptions>(
    run,
    {
      usage: 'prove',
      summary:
        'the same history in many ways that must not matter; where two differ, the read model, row and fact are named',
      examples: [
        'replay prove --fixture small.ndjson.zst',
        'replay prove --fixture small.ndjson.zst --ways batches,threads,environment --seed 11',
      ],
      build: (command) =>
        command
          .option('--fixture <file>', 'a fixture, plain, gzip or zstd')
          .option('--events <n>', 'the first so many events only', aCount(999_999_999))
          .option('--seed <n>', 'what restarts and orders of arrival are drawn from', aSeed, 7)
          .option('--ways <names>', `with commas between, of ${WAYS.join(', ')}`, someWays, WAYS)
          .option('--keep <folder>', 'for the rows of ways that differ; a temporary folder unless given')
          .option('-q, --quiet', 'no progress'),
    },
    async (context, { fixture, ...options }) => {
      if (fixture === undefined)
        throw new CliError('usage', 'source-missing', 'say what to prove: --fixture FILE');
      return await proveFixture(context, { ...options, fixture });
    },
  );

const proveFixture = async (
  context: CommandContext,
  options: ProveOptions & { readonly fixture: string },
): Promise<Ending> => {
  const { world, output } = context;
  const { fixture, keep, quiet } = options;
  const folder = keep ?? (await mkdtemp(join(tmpdir(), 'prov-ledger-proof-')));
  const scratch = await mkdtemp(join(tmpdir(), 'prov-ledger-'));
  let now = '';
  let done = 0;
  const progress = startProgress({
    terminal: world.stderr,
    unit: 'ways',
    verb: 'gone',
    enabled: quiet !== true,
    state: () => ({ done, note: now }),
  });
  let kept = true;
  try {
    await using open = new AsyncDisposableStack();
    const proving: ProvingOptions = { ...options, folder: scratch, open };
    const { pieces } = await fixturePieces(fixture, world.signal);
    const proof = await prove({
      ways: waysOf(context, proving),
      projectors,
      pieces: () => pieces(),
      folder,
      signal: world.signal,
      onWay: ({ name }) => {
        if (now !== '') done += 1;
        now = name;
      },
    });
    kept = proof.ways.some(({ row }) => row !== undefined);
    progress.stop();
    if (world.signal.aborted) return 'interrupted';
    output.answer({ fixture, ...proof }, () => textOf(fixture, proof));
    return proof.same ? 'ok' : 'refused';
  } finally {
    progress.stop();
    await rm(scratch, { recursive: true, force: true });
    if (!kept && keep === undefined) await rm(folder, { recursive: true, force: true });
  }
};

const textOf = (fixture: string, { same, ways, models }: Proof): string =>
  [
    `${fixture}: ${same ? `the same in ${count(ways.length, 'way')}` : 'NOT THE SAME'}`,
    pairs(ways.map(({ name, verdict, seconds }) => [name, `${verdict}, ${seconds.toFixed(1)} s`])),
    ...(same
      ? [
          pairs(
            models.map(({ projection, version, rows, digest }) => [
              `${projection} v${version}`,
              `${count(rows, 'row')}, ${digest}`,
            ]),
          ),
        ]
      : ways.filter(({ verdict }) => verdict !== 'same').flatMap(faultText)),
  ].join('\n');

const faultText = ({ name, fault, differences, row }: WayProof): readonly string[] => [
  `${name}:`,
  ...(fault ? [`  ${visible(fault.message)}`] : []),
  ...differences.map((line) => `  ${visible(line)}`),
  ...(row
    ? [
        `  the first row that differs: ${row.projection} ${[row.tenant, ...row.key].map(visible).join(' ')}`,
        `    the first way   ${visible(row.first ?? 'no such row')}`,
        `    this way        ${visible(row.other ?? 'no such row')}`,
        `    parting at      ${row.fact ? `fact ${row.fact.seq} of ${row.fact.tenant}, ${row.fact.type}, ${row.fact.id}` : 'no fact of the history'}`,
        `    all rows in     ${row.dumps.join(' and ')}`,
      ]
    : []),
];
