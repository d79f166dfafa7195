// prov-ledger verify: a receipt or an export with nothing but the public keys, offline; a tenant or the whole ledger
// where it is stored.
import { readFile } from 'node:fs/promises';
import { createPublicKey } from 'node:crypto';
import type { Command } from 'commander';
import { exportVerifier } from '#proofs/export.ts';
import { type KeySet, keyFromJwk, jwks, keysFromJwks, type VerificationKey } from '#proofs/keys/public-key.ts';
import { verifyReceipt } from '#proofs/verifier.ts';
import { instantText, type Seq, type TenantId } from '#schemas/ids.ts';
import { fileSource, streamSource } from '../ingest/source.ts';
import { aSeq, type CommandContext, group, headOf, leaf, type LedgerContext, ledgerLeaf, type Options, type Run, tenantArgument } from './command.ts';
import { CliError } from './exit.ts';
import { count, figure, visible } from './output.ts';
import { startProgress } from './progress.ts';
import { type ChainVerification, verifyTenant } from './verify-chain.ts';

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
const trustedKeys = async ({ jwks: set, key }: KeyOptions): Promise<KeySet> => {
  if ((set === undefined) === (key === undefined)) throw new CliError('usage', 'keys-missing', 'give the keys to trust: --jwks FILE or --key FILE, one of the two');
  const path = set ?? key ?? '';
  const text = await readText(path);
  try {
    if (key !== undefined && text.includes('-----BEGIN')) return jwks([pemKey(text)]);
    const document: unknown = JSON.parse(text);
    return jwks(set === undefined ? [keyFromJwk(document)] : keysFromJwks(document));
  } catch (cause) {
    throw new CliError('usage', 'keys-unusable', `${path} holds no usable ${set === undefined ? 'public key' : 'JWK Set'}: ${(cause as Error).message}`, { cause });
  }
};

const pemKey = (text: string): VerificationKey => {
  if (text.includes('PRIVATE KEY')) throw new Error('this is a private key; give its public half, and keep this one to yourself');
  return keyFromJwk(createPublicKey(text).export({ format: 'jwk' }));
};

const readText = async (path: string): Promise<string> => {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new CliError('unavailable', 'file-unreadable', `${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
};

const receipt = (run: Run): Command =>
  leaf<KeyOptions>(
    run,
    {
      usage: 'receipt <file>',
      summary: 'a receipt, offline: its file and the public keys are all that is needed (- for standard input)',
      examples: ['verify receipt receipt.json --jwks jwks.json', 'verify receipt receipt.json --key ledger.pem'],
      build: withKeys,
    },
    async ({ output, world }, options, [file = '-']) => {
      const keys = await trustedKeys(options);
      const text = file === '-' ? await allOf(world.stdin) : await readText(file);
      const { ok, checks } = verifyReceipt(text, keys);
      output.answer({ ok, file, checks }, () =>
        [...checks.map((check) => `${check.ok ? 'ok    ' : 'FAILED'}  ${check.name.padEnd(11)}  ${visible(check.detail)}`), ok ? 'verified' : 'NOT verified: do not rely on this receipt'].join('\n'),
      );
      return ok ? 'ok' : 'refused';
    },
  );

const allOf = async (stream: AsyncIterable<unknown>): Promise<string> => {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk as Buffer));
  return Buffer.concat(chunks).toString('utf8');
};

const exported = (run: Run): Command =>
  leaf<KeyOptions>(
    run,
    {
      usage: 'export <file>',
      summary: 'an export, offline: every fact, every link, every signature (plain, gzip or zstd; - for standard input)',
      examples: ['verify export acme.ndjson.gz --jwks jwks.json', 'verify export acme.ndjson.gz --jwks jwks.json --head 81884:9f0c...'],
      build: (command) => withKeys(command).option('--head <seq:hash>', 'a head that was kept elsewhere: the export must contain it').option('-q, --quiet', 'no progress'),
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

const EXPORT_LINE_BYTES_MAX = 16 << 20;

const verifyExport = async ({ output, world }: CommandContext, { file, keys, options }: ExportJob) => {
  const source = file === '-' ? streamSource('standard input', () => world.stdin, EXPORT_LINE_BYTES_MAX) : await fileSource(file, EXPORT_LINE_BYTES_MAX);
  const verifier = exportVerifier(keys);
  const pinned = pinnedHead(options.head);
  const progress = startProgress({
    terminal: world.stderr, unit: 'facts', verb: 'verified', enabled: options.quiet !== true,
    state: () => ({ done: verifier.facts(), share: source.size === undefined ? undefined : source.consumed() / Math.max(source.size, 1) }),
  });
  let fault: ReturnType<typeof verifier.line>;
  try {
    reading: for await (const lines of source.lines(world.signal)) {
      for (const { bytes } of lines) {
        const text = bytes?.toString('utf8') ?? '';
        fault = verifier.line(text);
        if (fault) break reading;
        pinned?.look(text);
      }
    }
  } finally {
    progress.stop();
  }
  if (world.signal.aborted) return 'interrupted';
  const ended = fault ?? verifier.end();
  if ('code' in ended) {
    output.answer({ ok: false, file, ...ended }, () => `NOT verified: ${file}, line ${ended.line}: ${ended.code}: ${visible(ended.message)}`);
    return 'refused';
  }
  if (pinned && !pinned.seen()) {
    const message = `the export does not contain the head ${options.head}: the chain was cut, rolled back or rewritten`;
    output.answer({ ok: false, file, code: 'head-missing', message }, () => `NOT verified: ${file}: ${message}`);
    return 'refused';
  }
  const { header, head, facts, batches, kids } = ended;
  output.answer({ ok: true, file, ledger_id: header.ledgerId, tenant: header.tenant, from: header.from, to: header.to, facts, batches, head: { seq: head.seq, hash: head.hash }, kids }, () =>
    [`verified: ${count(facts, 'fact')} of ${header.tenant} (${figure(header.from)} to ${figure(header.to)}) in ${count(batches, 'signed batch', 'signed batches')}`, `head: fact ${figure(head.seq)}, ${head.hash}`, `signed by ${kids.join(', ')}, for ledger ${header.ledgerId}`].join('\n'),
  );
  return 'ok';
};

const pinnedHead = (raw: string | undefined) => {
  if (raw === undefined) return undefined;
  const [, seq, hash] = /^(\d{1,16}):([0-9a-f]{64})$/.exec(raw) ?? [];
  if (seq === undefined) throw new CliError('usage', 'malformed-head', '--head takes SEQ:HASH, as `prov-ledger head TENANT` shows them');
  let seen = false;
  return {
    seen: () => seen,
    look: (line: string): void => {
      if (seen || !line.includes(String(hash))) return;
      const { fact } = JSON.parse(line) as { readonly fact?: { readonly seq: number; readonly hash: string } };
      seen = fact?.seq === Number(seq) && fact.hash === hash;
    },
  };
};

interface RangeOptions extends Options {
  readonly from?: Seq;
  readonly to?: Seq;
  readonly quiet?: boolean;
}

const tenant = (run: Run): Command =>
  ledgerLeaf<RangeOptions>(
    run,
    {
      usage: 'tenant <tenant>',
      summary: "a tenant's chain as it is stored, or a part of it",
      examples: ['verify tenant acme', 'verify tenant acme --from 1000 --to 2000'],
      build: (command) => command.option('--from <seq>', 'the first fact; 1 unless given', aSeq).option('--to <seq>', 'the last fact; the head unless given', aSeq).option('-q, --quiet', 'no progress'),
    },
    async (context, options, args) => {
      const head = await headOf(context.ledger, tenantArgument(args));
      const { from = 1 as Seq, to = head.seq } = options;
      if (from > to || to > head.seq) throw new CliError('usage', 'no-such-range', `${head.tenant} has facts 1 to ${head.seq}; there is no range from ${from} to ${to}`);
      const [result] = await verifyAll(context, { tenants: [{ tenant: head.tenant, from, to }], quiet: options.quiet === true });
      if (!result) return 'interrupted';
      context.output.answer(documentOf(result), () => textOf(result));
      return result.fault ? 'refused' : 'ok';
    },
  );

const all = (run: Run): Command =>
  ledgerLeaf<RangeOptions>(
    run,
    { usage: 'all', summary: 'the chains of all tenants as they are stored', examples: ['verify all', 'verify all --json'], build: (command) => command.option('-q, --quiet', 'no progress') },
    async (context, { quiet }) => {
      const heads = await context.ledger.store.heads();
      const started = performance.now();
      const tenants = heads.map((head) => ({ tenant: head.tenant, from: 1 as Seq, to: head.seq }));
      const results = await verifyAll(context, { tenants, quiet: quiet === true });
      if (results.length < heads.length) return 'interrupted';
      const seconds = (performance.now() - started) / 1000;
      const facts = results.reduce((sum, result) => sum + result.facts, 0);
      const ok = results.every(({ fault }) => !fault);
      context.output.answer({ ok, facts, seconds: Number(seconds.toFixed(3)), tenants: results.map(documentOf) }, () =>
        [...results.map(textOf), `${ok ? 'verified' : 'NOT verified'}: ${count(facts, 'fact')} of ${count(results.length, 'tenant')} in ${seconds.toFixed(1)} s (${figure(facts / seconds)}/s)`].join('\n'),
      );
      return ok ? 'ok' : 'refused';
    },
  );

interface Verifying {
  readonly tenants: readonly { readonly tenant: TenantId; readonly from: Seq; readonly to: Seq }[];
  readonly quiet: boolean;
}

/** The tenants one after the other; fewer results than tenants after ctrl-C. */
const verifyAll = async ({ ledger, world }: LedgerContext, { tenants, quiet }: Verifying): Promise<readonly ChainVerification[]> => {
  const keys = keysFromJwks(ledger.jwks());
  const total = tenants.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  const results: ChainVerification[] = [];
  let done = 0;
  let current = 0;
  const progress = startProgress({ terminal: world.stderr, unit: 'facts', verb: 'verified', enabled: !quiet, state: () => ({ done: done + current, share: (done + current) / Math.max(total, 1) }) });
  try {
    for (const each of tenants) {
      const onProgress = (facts: number): void => {
        current = facts;
      };
      const result = await verifyTenant(ledger.store, each.tenant, { keys, from: each.from, to: each.to, signal: world.signal, onProgress });
      if (world.signal.aborted) break;
      results.push(result);
      done += result.facts;
      current = 0;
    }
  } finally {
    progress.stop();
  }
  return results;
};

const documentOf = ({ tenant: name, facts, batches, head, fault }: ChainVerification) => ({
  ok: !fault, tenant: name, facts, batches, head: { seq: head.seq, hash: head.hash, ...(head.seq > 0 && { recorded_at: instantText(head.recordedAt) }) }, ...(fault && { fault }),
});

const textOf = ({ tenant: name, facts, batches, head, fault }: ChainVerification): string =>
  fault
    ? `NOT verified: ${fault.message} (${fault.code}); sound up to fact ${head.seq}. Stop writing, and restore from an export or a replica`
    : `${name}: ${count(facts, 'fact')} in ${count(batches, 'signed batch', 'signed batches')}, head ${figure(head.seq)} ${head.hash}`;

export const verifyCommands = (run: Run): Command => group('verify', 'proofs: of a receipt, an export, a tenant, or the whole ledger', [receipt(run), exported(run), tenant(run), all(run)]);
