// prov-ledger verify receipt and verify export: with a file and the public keys, and without the ledger.
import { createPublicKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import {
  EXPORT_LINE_BYTES_MAX,
  type ExportFault,
  type ExportReport,
  exportVerifier,
} from '#proofs/export.ts';
import {
  jwks,
  type KeySet,
  keyFromJwk,
  keysFromJwks,
  type VerificationKey,
} from '#proofs/keys/public-key.ts';
import { verifyReceipt } from '#proofs/verifier.ts';
import { fileSource, type Source, streamSource } from '../ingest/source.ts';
import { type CommandContext, leaf, type Options, type Run } from './command.ts';
import { CliError } from './exit.ts';
import { count, figure, visible } from './output.ts';
import { startProgress } from './progress.ts';

interface KeyOptions extends Options {
  readonly jwks?: string;
  readonly key?: string;
  readonly quiet?: boolean;
  readonly head?: string;
}

const withKeys = (command: Command): Command =>
  command
    .option('--jwks <file>', "the ledger's public keys as a JWK Set, as at /.well-known/jwks.json")
    .option('--key <file>', 'one public key instead, as a JWK or PEM');

/** The keys the caller trusts. None of them comes from what is being verified. */
export const trustedKeys = async ({ jwks: set, key }: Pick<KeyOptions, 'jwks' | 'key'>): Promise<KeySet> => {
  if ((set === undefined) === (key === undefined))
    throw new CliError(
      'usage',
      'keys-missing',
      'give the keys to trust: --jwks FILE or --key FILE, one of the two',
    );
  const path = set ?? key ?? '';
  const text = await readText(path);
  try {
    if (key !== undefined && text.includes('-----BEGIN')) return jwks([pemKey(text)]);
    const document: unknown = JSON.parse(text);
    return jwks(set === undefined ? [keyFromJwk(document)] : keysFromJwks(document));
  } catch (cause) {
    throw new CliError(
      'usage',
      'keys-unusable',
      `${path} holds no usable ${set === undefined ? 'public key' : 'JWK Set'}: ${(cause as Error).message}`,
      { cause },
    );
  }
};

const pemKey = (text: string): VerificationKey => {
  if (text.includes('PRIVATE KEY'))
    throw new Error('this is a private key; give its public half, and keep this one to yourself');
  return keyFromJwk(createPublicKey(text).export({ format: 'jwk' }));
};

const readText = async (path: string): Promise<string> => {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new CliError(
      'unavailable',
      'file-unreadable',
      `${path} cannot be read: ${(cause as Error).message}`,
      { cause },
    );
  }
};

export const verifyReceiptCommand = (run: Run): Command =>
  leaf<KeyOptions>(
    run,
    {
      usage: 'receipt <file>',
      summary:
        'a receipt, offline: its file and the public keys are all that is needed (- for standard input)',
      examples: [
        'verify receipt receipt.json --jwks jwks.json',
        'verify receipt receipt.json --key ledger.pem',
      ],
      build: withKeys,
    },
    async ({ output, world }, options, [file = '-']) => {
      const keys = await trustedKeys(options);
      const text = file === '-' ? await allOf(world.stdin) : await readText(file);
      const { ok, checks } = verifyReceipt(text, keys);
      output.answer({ ok, file, checks }, () =>
        [
          ...checks.map(
            (check) =>
              `${check.ok ? 'ok    ' : 'FAILED'}  ${check.name.padEnd(11)}  ${visible(check.detail)}`,
          ),
          ok ? 'verified' : 'NOT verified: do not rely on this receipt',
        ].join('\n'),
      );
      return ok ? 'ok' : 'refused';
    },
  );

const allOf = async (stream: AsyncIterable<unknown>): Promise<string> => {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk as Buffer));
  return Buffer.concat(chunks).toString('utf8');
};

export const verifyExportCommand = (run: Run): Command =>
  leaf<KeyOptions>(
    run,
    {
      usage: 'export <file>',
      summary:
        'an export, offline: every fact, every link, every signature (plain, gzip or zstd; - for standard input)',
      examples: [
        'verify export acme.ndjson.gz --jwks jwks.json',
        'verify export acme.ndjson.gz --jwks jwks.json --head 81884:9f0c...',
      ],
      build: (command) =>
        withKeys(command)
          .option('--head <seq:hash>', 'a head that was kept elsewhere: the export must contain it')
          .option('-q, --quiet', 'no progress'),
    },
    async (context, options, [file = '-']) => {
      const keys = keysFromJwks(await trustedKeys(options));
      return await verifyExport(context, { file, keys, options });
    },
  );

interface ExportJob {
  readonly file: string;
  readonly keys: readonly VerificationKey[];
  readonly options: KeyOptions;
}

const verifyExport = async (context: CommandContext, { file, keys, options }: ExportJob) => {
  const { output, world } = context;
  const pinned = pinnedHead(options.head);
  const source =
    file === '-'
      ? streamSource('standard input', () => world.stdin, EXPORT_LINE_BYTES_MAX)
      : await fileSource(file, EXPORT_LINE_BYTES_MAX);
  const ended = await readExport(context, { source, keys, pinned, quiet: options.quiet === true });
  if (world.signal.aborted) return 'interrupted';
  if ('code' in ended) {
    output.answer(
      { ok: false, file, ...ended },
      () => `NOT verified: ${file}, line ${ended.line}: ${ended.code}: ${visible(ended.message)}`,
    );
    return 'refused';
  }
  if (pinned && !pinned.seen()) {
    const message = `the export does not contain the head ${options.head}: the chain was cut, rolled back or rewritten`;
    output.answer(
      { ok: false, file, code: 'head-missing', message },
      () => `NOT verified: ${file}: ${message}`,
    );
    return 'refused';
  }
  output.answer(reportDocument(file, ended), () => reportText(ended));
  return 'ok';
};

interface Reading {
  readonly source: Source;
  readonly keys: readonly VerificationKey[];
  readonly pinned: ReturnType<typeof pinnedHead>;
  readonly quiet: boolean;
}

const readExport = async (
  { world }: CommandContext,
  { source, keys, pinned, quiet }: Reading,
): Promise<ExportFault | ExportReport> => {
  const verifier = exportVerifier(keys);
  const progress = startProgress({
    terminal: world.stderr,
    unit: 'facts',
    verb: 'verified',
    enabled: !quiet,
    state: () => ({
      done: verifier.facts(),
      share: source.size === undefined ? undefined : source.consumed() / Math.max(source.size, 1),
    }),
  });
  try {
    for await (const lines of source.lines(world.signal)) {
      for (const { bytes } of lines) {
        const text = bytes?.toString('utf8') ?? '';
        const fault = verifier.line(text);
        if (fault) return fault;
        pinned?.look(text);
      }
    }
    return verifier.end();
  } finally {
    progress.stop();
  }
};

const reportDocument = (file: string, { header, head, facts, batches, kids }: ExportReport) => ({
  ok: true,
  file,
  ledger_id: header.ledgerId,
  tenant: header.tenant,
  from: header.from,
  to: header.to,
  facts,
  batches,
  head: { seq: head.seq, hash: head.hash },
  kids,
});

const reportText = ({ header, head, facts, batches, kids }: ExportReport): string =>
  [
    `verified: ${count(facts, 'fact')} of ${header.tenant} (${figure(header.from)} to ${figure(header.to)}) in ${count(batches, 'signed batch', 'signed batches')}`,
    `head: fact ${figure(head.seq)}, ${head.hash}`,
    `signed by ${kids.join(', ')}, for ledger ${header.ledgerId}`,
  ].join('\n');

const pinnedHead = (raw: string | undefined) => {
  if (raw === undefined) return undefined;
  const [, seq, hash] = /^(\d{1,16}):([0-9a-f]{64})$/.exec(raw) ?? [];
  if (seq === undefined)
    throw new CliError(
      'usage',
      'malformed-head',
      '--head takes SEQ:HASH, as `prov-ledger head TENANT` shows them',
    );
  let seen = false;
  return {
    seen: () => seen,
    look: (line: string): void => {
      if (seen || !line.includes(String(hash))) return;
      const { fact } = JSON.parse(line) as {
        readonly fact?: { readonly seq: number; readonly hash: string };
      };
      seen = fact?.seq === Number(seq) && fact.hash === hash;
    },
  };
};
