// prov-ledger verify: proofs of all kinds; here a tenant or the whole ledger where it is stored.
import type { Command } from 'commander';
import { keysFromJwks, type VerificationKey } from '#proofs/keys/public-key.ts';
import { instantText, type Seq, type TenantId } from '#schemas/ids.ts';
import {
  aSeq,
  group,
  headOf,
  type LedgerContext,
  ledgerLeaf,
  type Options,
  type Run,
  tenantArgument,
} from './command.ts';
import { CliError } from './exit.ts';
import { count, figure } from './output.ts';
import { startProgress } from './progress.ts';
import { type ChainVerification, EXPLAINED, type VerifyChainOptions, verifyTenant } from './verify-chain.ts';
import { verifyExportCommand, verifyReceiptCommand } from './verify-offline.ts';
import type { OpenLedger } from './world.ts';

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
      build: (command) =>
        command
          .option('--from <seq>', 'the first fact; 1 unless given', aSeq)
          .option('--to <seq>', 'the last fact; the head unless given', aSeq)
          .option('-q, --quiet', 'no progress'),
    },
    async (context, options, args) => {
      const head = await headOf(context.ledger, tenantArgument(args));
      const { from = 1 as Seq, to = head.seq } = options;
      if (from > to || to > head.seq)
        throw new CliError(
          'usage',
          'no-such-range',
          `${head.tenant} has facts 1 to ${head.seq}; there is no range from ${from} to ${to}`,
        );
      const [result] = await verifyAll(context, {
        tenants: [{ tenant: head.tenant, from, to }],
        quiet: options.quiet === true,
      });
      if (!result) return 'interrupted';
      context.output.answer(documentOf(result), () => textOf(result));
      return result.fault ? 'refused' : 'ok';
    },
  );

const all = (run: Run): Command =>
  ledgerLeaf<RangeOptions>(
    run,
    {
      usage: 'all',
      summary: 'the chains of all tenants as they are stored',
      examples: ['verify all', 'verify all --json'],
      build: (command) => command.option('-q, --quiet', 'no progress'),
    },
    async (context, { quiet }) => {
      const heads = await context.ledger.store.heads();
      const started = performance.now();
      const tenants = heads.map((head) => ({ tenant: head.tenant, from: 1 as Seq, to: head.seq }));
      const results = await verifyAll(context, { tenants, quiet: quiet === true });
      if (results.length < heads.length) return 'interrupted';
      const seconds = (performance.now() - started) / 1000;
      const facts = results.reduce((sum, result) => sum + result.facts, 0);
      const ok = results.every(({ fault }) => !fault);
      context.output.answer(
        { ok, facts, seconds: Number(seconds.toFixed(3)), tenants: results.map(documentOf) },
        () =>
          [
            ...results.map(textOf),
            `${ok ? 'verified' : 'NOT verified'}: ${count(facts, 'fact')} of ${count(results.length, 'tenant')} in ${seconds.toFixed(1)} s (${figure(facts / seconds)}/s)`,
          ].join('\n'),
      );
      return ok ? 'ok' : 'refused';
    },
  );

interface Verifying {
  readonly tenants: readonly { readonly tenant: TenantId; readonly from: Seq; readonly to: Seq }[];
  readonly quiet: boolean;
  /** Those of the ledger's own keys folder unless told. */
  readonly keys?: readonly VerificationKey[];
}

/** The tenants one after the other; fewer results than tenants after ctrl-C. */
export const verifyAll = async (
  { ledger, world }: LedgerContext,
  { tenants, quiet, keys = keysFromJwks(ledger.jwks()) }: Verifying,
): Promise<readonly ChainVerification[]> => {
  const total = tenants.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  const results: ChainVerification[] = [];
  let done = 0;
  let current = 0;
  const progress = startProgress({
    terminal: world.stderr,
    unit: 'facts',
    verb: 'verified',
    enabled: !quiet,
    state: () => ({ done: done + current, share: (done + current) / Math.max(total, 1) }),
  });
  try {
    for (const each of tenants) {
      const onProgress = (facts: number): void => {
        current = facts;
      };
      const result = await verifyRange(ledger, each, { keys, signal: world.signal, onProgress });
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

interface RangeOf {
  readonly tenant: TenantId;
  readonly from: Seq;
  readonly to: Seq;
}

/** A whole chain by several threads where the store can; a part of one through the port. */
const verifyRange = async (
  { store, verifyWhole }: OpenLedger,
  { tenant, from, to }: RangeOf,
  options: Required<Pick<VerifyChainOptions, 'keys' | 'signal' | 'onProgress'>>,
): Promise<ChainVerification> => {
  const head = verifyWhole && from === 1 ? await store.head(tenant) : undefined;
  if (!verifyWhole || head?.seq !== to) return await verifyTenant(store, tenant, { ...options, from, to });
  let facts = 0;
  const onProgress = (more: number): void => {
    facts += more;
    options.onProgress(facts);
  };
  const result = await verifyWhole({ ...options, tenant, onProgress });
  if (!result) throw new CliError('refused', 'no-such-tenant', `there is no tenant ${tenant} any more`);
  const { fault, ...sound } = result;
  if (!fault) return { tenant, ...sound };
  return {
    tenant,
    ...sound,
    fault: { ...fault, message: `${tenant}, fact ${fault.seq}: ${EXPLAINED[fault.code]}` },
  };
};

const documentOf = ({ tenant: name, facts, batches, head, fault }: ChainVerification) => ({
  ok: !fault,
  tenant: name,
  facts,
  batches,
  head: {
    seq: head.seq,
    hash: head.hash,
    ...(head.seq > 0 && { recorded_at: instantText(head.recordedAt) }),
  },
  ...(fault && { fault }),
});

const textOf = ({ tenant: name, facts, batches, head, fault }: ChainVerification): string =>
  fault
    ? `NOT verified: ${fault.message} (${fault.code}); sound up to fact ${head.seq}. Stop writing, and restore from an export or a replica`
    : `${name}: ${count(facts, 'fact')} in ${count(batches, 'signed batch', 'signed batches')}, head ${figure(head.seq)} ${head.hash}`;

export const verifyCommands = (run: Run): Command =>
  group('verify', 'proofs: of a receipt, an export, a tenant, or the whole ledger', [
    verifyReceiptCommand(run),
    verifyExportCommand(run),
    tenant(run),
    all(run),
  ]);
