// prov-ledger head, tail and receipt get: looking at a tenant's chain.
import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { claimId } from '#commands/run.ts';
import { proofDocument, receiptBundle } from '#proofs/bundle.ts';
import type { Recorded } from '#schemas/event.ts';
import { instantText, type Seq, type TenantId } from '#schemas/ids.ts';
import {
  aCount,
  aSeq,
  aTenant,
  group,
  headOf,
  ledgerLeaf,
  type Options,
  type Run,
  tenantArgument,
} from './command.ts';
import { CliError } from './exit.ts';
import { figure, pairs, visible } from './output.ts';

export const headCommand = (run: Run): Command =>
  ledgerLeaf(
    run,
    {
      usage: 'head <tenant>',
      summary: "the end of a tenant's chain, signed: keep it elsewhere, and a rewritten chain is found out",
      examples: ['head acme', 'head acme --json > head.json'],
    },
    async ({ ledger, output }, _, args) => {
      const { tenant, seq, hash, recordedAt } = await headOf(ledger, tenantArgument(args));
      const proof = await ledger.store.proof(tenant, seq);
      const document = {
        tenant,
        seq,
        hash,
        recorded_at: instantText(recordedAt),
        proof: proof && proofDocument(proof),
      };
      output.answer(document, () =>
        pairs([
          ['tenant', tenant],
          ['facts', figure(seq)],
          ['head', hash],
          ['recorded at', instantText(recordedAt)],
          ['signed by', proof?.kid ?? 'nothing'],
        ]),
      );
      return 'ok';
    },
  );

interface TailOptions extends Options {
  readonly from?: Seq;
  readonly count: number;
  readonly follow: boolean;
}

export const tailCommand = (run: Run): Command =>
  ledgerLeaf<TailOptions>(
    run,
    {
      usage: 'tail <tenant>',
      summary: 'the last facts of a tenant, and new ones as they are recorded, until ctrl-C',
      examples: [
        'tail acme',
        'tail acme --count 100 --no-follow',
        'tail acme --from 1 --json > facts.ndjson',
      ],
      build: (command) =>
        command
          .option('-n, --count <facts>', 'facts to begin with', aCount(1_000_000), 10)
          .option('--from <seq>', 'begin with this fact instead', aSeq)
          .option('--no-follow', 'end with the last fact recorded so far'),
    },
    async ({ ledger, output, world }, options, args) => {
      const { tenant, seq } = await headOf(ledger, tenantArgument(args));
      const before = options.from === undefined ? Math.max(0, seq - options.count) : options.from - 1;
      const facts = ledger.feed.subscribe({
        from: new Map([[tenant, before as Seq]]),
        tenants: new Set([tenant]),
        signal: world.signal,
        untilCaughtUp: !options.follow,
      });
      for await (const batch of facts) {
        for (const fact of batch.facts) output.item(factDocument(fact), () => factText(fact));
      }
      return world.signal.aborted ? 'interrupted' : 'ok';
    },
  );

const factDocument = (fact: Recorded) => ({
  tenant: fact.tenant,
  seq: fact.seq,
  id: fact.id,
  type: fact.type,
  schema_version: fact.schemaVersion,
  recorded_at: instantText(fact.recordedAt),
  occurred_at: instantText(fact.occurredAt),
  actor: fact.actor,
  op_id: fact.opId,
  op_parent_id: fact.opParentId,
  region: fact.region,
  data: fact.parsed ?? JSON.parse(fact.payload),
  hash: fact.hash,
});

const factText = (fact: Recorded): string => {
  const data = (fact.parsed ?? JSON.parse(fact.payload)) as { readonly [name: string]: unknown };
  const said =
    fact.type === 'receipts.ReceiptRecorded'
      ? `${String(data['decision'])} ${String(data['action'])} ${String(data['id'])}`
      : fact.type;
  return `${String(fact.seq).padStart(8)}  ${instantText(fact.recordedAt)}  ${fact.hash.slice(0, 12)}  ${visible(fact.actor)}  ${visible(said)}`;
};

interface GetOptions extends Options {
  readonly tenant: TenantId;
  readonly out?: string;
}

const getReceipt = (run: Run): Command =>
  ledgerLeaf<GetOptions>(
    run,
    {
      usage: 'get <id>',
      summary: 'a receipt with its proof, as a document that anyone can verify with the public keys',
      examples: [
        'receipt get 01J9Z3 --tenant acme --out receipt.json',
        'receipt get git:o/r@5d1c --tenant acme',
      ],
      build: (command) =>
        command
          .requiredOption('-t, --tenant <tenant>', 'the tenant that recorded it', aTenant)
          .option('-o, --out <file>', 'write it to a file; standard output unless given'),
    },
    async ({ ledger, output }, { tenant, out }, [id = '']) => {
      await headOf(ledger, tenant);
      const fact = await ledger.store.find(tenant, claimId(tenant, id));
      const proof =
        fact?.type === 'receipts.ReceiptRecorded' ? await ledger.store.proof(tenant, fact.seq) : undefined;
      if (!fact || !proof)
        throw new CliError(
          'refused',
          'no-such-receipt',
          `${tenant} has no receipt ${id}: check the id and the tenant`,
        );
      const bundle = receiptBundle(fact, proof);
      if (out === undefined) {
        output.answer(bundle, () => JSON.stringify(bundle, undefined, 2));
        return 'ok';
      }
      await writeFile(out, `${JSON.stringify(bundle, undefined, 2)}\n`);
      output.answer(
        { tenant, id, seq: fact.seq, hash: fact.hash, file: out },
        () =>
          `fact ${fact.seq} of ${tenant} is in ${out}; verify it with \`prov-ledger verify receipt ${out} --jwks jwks.json\``,
      );
      return 'ok';
    },
  );

export const receiptCommands = (run: Run): Command => group('receipt', 'single receipts', [getReceipt(run)]);
