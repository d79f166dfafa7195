// prov-ledger replay report: a verified report as a page and a picture.
import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { keysFromJwks } from '#proofs/keys/public-key.ts';
import { verifyReport } from '#replay-harness/report.ts';
import { type CommandContext, type Ending, leaf, type Options, type Run } from './command.ts';
import { CliError } from './exit.ts';
import { visible } from './output.ts';
import { readEnvelope } from './replay-report.ts';
import { trustedKeys } from './verify-offline.ts';

interface ViewOptions extends Options {
  readonly jwks?: string;
  readonly key?: string;
  readonly html?: string;
  readonly png?: string;
}

export const replayViewCommand = (run: Run): Command =>
  leaf<ViewOptions>(
    run,
    {
      usage: 'report <report>',
      summary:
        "a replay's report as one page and a picture; drawn of a report that verifies, and of no other",
      examples: ['replay report report.dsse.json --jwks jwks.json --html report.html --png report.png'],
      build: (command) =>
        command
          .option('--jwks <file>', "the ledger's public keys as a JWK Set, as at /.well-known/jwks.json")
          .option('--key <file>', 'one public key instead, as a JWK or PEM')
          .option('--html <file>', 'the page: whole in itself, without scripts')
          .option('--png <file>', 'the picture alone: throughput, memory, stages'),
    },
    async (context, options, [path = '']) => await draw(context, options, path),
  );

const draw = async ({ output }: CommandContext, options: ViewOptions, path: string): Promise<Ending> => {
  const { html, png } = options;
  if (html === undefined && png === undefined)
    throw new CliError('usage', 'nothing-to-write', 'say what to write: --html FILE, --png FILE, or both');
  const verdict = verifyReport(await readEnvelope(path), keysFromJwks(await trustedKeys(options)));
  if (!verdict.ok) {
    const { fault, message } = verdict;
    output.answer({ ok: false, fault, message }, () => `${path}: NOT VERIFIED: ${visible(message)}`);
    return 'refused';
  }
  const { statement, kid } = verdict;
  // Loaded for this command alone: drawing takes a second to load.
  const { chartOf } = await import('#replay-harness/view/chart.ts');
  const chart = chartOf(statement.predicate.measured);
  if (html !== undefined) {
    const { pageOf } = await import('#replay-harness/view/page.ts');
    await write(html, pageOf({ statement, kid, chart }));
  }
  if (png !== undefined) {
    const { pngOf } = await import('#replay-harness/view/image.ts');
    await write(png, pngOf(chart));
  }
  const files = [html, png].filter((file) => file !== undefined);
  output.answer({ ok: true, kid, files }, () => `${path} is verified, and drawn in ${files.join(' and ')}`);
  return 'ok';
};

const write = async (path: string, content: string | Uint8Array): Promise<void> => {
  try {
    await writeFile(path, content);
  } catch (cause) {
    const message = `${path} cannot be written: ${(cause as Error).message}`;
    throw new CliError('unavailable', 'file-unwritable', message, { cause });
  }
};
