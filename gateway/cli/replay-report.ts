// prov-ledger replay verify: a report, with the public keys and without the ledger; with the history too, by replaying it.
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { projectors } from '#projectors/index.ts';
import { keysFromJwks } from '#proofs/keys/public-key.ts';
import type { Expectation } from '#replay-harness/fixtures/format.ts';
import { replay } from '#replay-harness/replay.ts';
import { type ReplayStatement, verifyReport } from '#replay-harness/report.ts';
import { type CommandContext, type Ending, leaf, type Options, type Run } from './command.ts';
import { CliError } from './exit.ts';
import { inScratchFolder } from './fixtures.ts';
import { count, figure, pairs, visible } from './output.ts';
import { fixtureFeedOf } from './replay-source.ts';
import { trustedKeys } from './verify-offline.ts';

interface VerifyOptions extends Options {
  readonly jwks?: string;
  readonly key?: string;
  readonly fixture?: string;
}

export const replayVerifyCommand = (run: Run): Command =>
  leaf<VerifyOptions>(
    run,
    {
      usage: 'verify <report>',
      summary:
        "a replay's report: its signature, and whatever follows from the rest; with --fixture by replaying that",
      examples: [
        'replay verify report.dsse.json --jwks jwks.json',
        'replay verify report.dsse.json --jwks jwks.json --fixture large.ndjson.zst',
      ],
      build: (command) =>
        command
          .option('--jwks <file>', "the ledger's public keys as a JWK Set, as at /.well-known/jwks.json")
          .option('--key <file>', 'one public key instead, as a JWK or PEM')
          .option('--fixture <file>', 'the history it is about: replayed now, and compared'),
    },
    async (context, options, [path = '']) => await verifyOne(context, options, path),
  );

const verifyOne = async (context: CommandContext, options: VerifyOptions, path: string): Promise<Ending> => {
  const { output } = context;
  const keys = keysFromJwks(await trustedKeys(options));
  const envelope = await readEnvelope(path);
  const again = options.fixture === undefined ? undefined : await outcomeNow(context, options.fixture);
  const verdict = verifyReport(envelope, keys, again);
  if (!verdict.ok) {
    const { fault, message } = verdict;
    output.answer({ ok: false, fault, message }, () => `${path}: NOT VERIFIED: ${visible(message)}`);
    return 'refused';
  }
  const { statement, kid } = verdict;
  output.answer({ ok: true, kid, replayed: again !== undefined, statement }, () =>
    textOf(path, kid, statement, again),
  );
  return 'ok';
};

/** Throws `CliError`. */
export const readEnvelope = async (path: string): Promise<unknown> => {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as unknown;
  } catch (cause) {
    throw new CliError(
      'unavailable',
      'file-unreadable',
      `${path} cannot be read: ${(cause as Error).message}`,
      { cause },
    );
  }
};

const outcomeNow = async ({ world }: CommandContext, fixture: string): Promise<Expectation> => {
  const feed = await fixtureFeedOf(fixture, { events: undefined, signal: world.signal });
  const { verdict, fault, outcome } = await inScratchFolder((folder) =>
    replay({ feed, projectors, folder, signal: world.signal }),
  );
  if (fault) throw new CliError('refused', 'not-sound', `${fixture} is not sound: ${fault.message}`);
  if (verdict === 'interrupted') throw new CliError('interrupted', 'interrupted', 'interrupted');
  return outcome;
};

const textOf = (
  path: string,
  kid: string,
  { subject: [{ name, digest }], predicate }: ReplayStatement,
  again: Expectation | undefined,
): string => {
  const { verdict, outcome, measured, program, machine, finished_at, compared } = predicate;
  return [
    `${path}: verified, signed by ${kid}${again ? '; the same history comes to the same now' : ''}`,
    pairs([
      ['history', `${name}, ${digest.sha256}`],
      ['verdict', `${verdict}${compared ? ', compared with what was expected' : ''}`],
      ['facts', `${figure(outcome.facts)} of ${count(outcome.chains.length, 'tenant')}`],
      ['finished', finished_at],
      ['rate', `${figure(measured.factsPerSecond)} facts/s, ${figure(measured.peakMiB)} MiB at most`],
      [
        'program',
        `${program.version}, source ${program.source.slice(0, 16)}, commit ${program.commit ?? 'unknown'}`,
      ],
      ['machine', `${machine.cores} x ${machine.cpu}, Node ${machine.node}, ${machine.platform}`],
    ]),
  ].join('\n');
};
