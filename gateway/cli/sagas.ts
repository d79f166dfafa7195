// prov-ledger sagas ...: what reacts to facts, how far it has come, and why it did what it did.
import type { Command } from 'commander';
import { allSagas } from '#sagas/index.ts';
import { postgresSagaShelf } from '#sagas/postgres/shelf.ts';
import type { AnySaga } from '#sagas/saga.ts';
import type { SagaPosition } from '#sagas/shelf.ts';
import { type TracedFact, traceSaga } from '#sagas/trace.ts';
import { instantText, type TenantId, tenantId } from '#schemas/ids.ts';
import { aTenant, group, headOf, leaf, ledgerLeaf, type Options, type Run } from './command.ts';
import { CliError } from './exit.ts';
import { count, figure, table, visible } from './output.ts';

const list = (run: Run): Command =>
  leaf(
    run,
    { usage: 'list', summary: 'the sagas, and the events each looks at', examples: ['sagas list'] },
    async ({ output }) => {
      const all = allSagas.map(({ name, version, summary, handles }) => ({
        name,
        version,
        summary,
        handles,
      }));
      output.answer({ sagas: all }, () =>
        all
          .map(
            ({ name, version, summary, handles }) =>
              `${name} v${version}  ${summary}\n  on ${handles.join(', ')}`,
          )
          .join('\n'),
      );
      return 'ok';
    },
  );

interface SagaStatus extends Omit<SagaPosition, 'hash' | 'recordedAt'> {
  readonly saga: string;
  readonly version: number;
  readonly headSeq: number;
  readonly state: 'current' | 'behind' | 'halted';
}

const status = (run: Run): Command =>
  ledgerLeaf(
    run,
    {
      usage: 'status [tenant]',
      summary: 'how far each saga has come with a tenant, or with all, and at which fact one has halted',
      examples: ['sagas status', 'sagas status acme --json'],
    },
    async ({ ledger, output }, _, [of]) => {
      const tenant = of === undefined ? undefined : tenantId(of);
      const heads = (await ledger.store.heads()).filter(
        (head) => tenant === undefined || head.tenant === tenant,
      );
      const shelf = postgresSagaShelf(ledger.databases);
      const rows: SagaStatus[] = [];
      for (const { name, version, ...saga } of allSagas) {
        const positions = await shelf.positions({ name, version, ...saga }, tenant);
        for (const head of heads) {
          const at = positions.find((position) => position.tenant === head.tenant);
          const { seq = 0 as TenantSeq, mutedTo = 0 as TenantSeq, parked } = at ?? {};
          const state = parked ? 'halted' : seq < head.seq ? 'behind' : 'current';
          rows.push({
            tenant: head.tenant,
            saga: name,
            version,
            state,
            seq,
            headSeq: head.seq,
            mutedTo,
            parked,
          });
        }
      }
      output.answer({ sagas: rows }, () => statusText(rows));
      return 'ok';
    },
  );

type TenantSeq = SagaPosition['seq'];

const statusText = (rows: readonly SagaStatus[]): string => {
  if (rows.length === 0) return 'no tenants yet; make one with `prov-ledger tenant create NAME`';
  const lines = rows.map((row) => [
    row.tenant,
    `${row.saga} v${row.version}`,
    row.state,
    figure(row.seq),
    count(row.headSeq - row.seq, 'fact'),
  ]);
  const halts = rows.flatMap(({ tenant, saga, parked }) =>
    parked
      ? [
          `${saga} of ${tenant} halted at fact ${parked.seq}: ${visible(parked.message)}`,
          `  -> put the cause right, then run \`prov-ledger sagas resume ${saga} --tenant ${tenant}\``,
        ]
      : [],
  );
  return [table(['TENANT', 'SAGA', 'STATE', 'AS OF', 'BEHIND'], lines), ...halts].join('\n');
};

const sagaNamed = (name: string): AnySaga => {
  const found = allSagas.find((saga) => saga.name === name);
  if (found) return found;
  throw new CliError(
    'refused',
    'no-such-saga',
    `there is no saga ${name}; there are ${allSagas.map((saga) => saga.name).join(', ')}`,
  );
};

interface OfTenant extends Options {
  readonly tenant: TenantId;
}

const trace = (run: Run): Command =>
  ledgerLeaf<OfTenant & { readonly saga: string }>(
    run,
    {
      usage: 'trace <key>',
      summary: 'why a saga did what it did with one instance, fact by fact, folded from the ledger anew',
      examples: ['sagas trace receipts --tenant acme', 'sagas trace receipts --tenant acme --json'],
      build: (command) =>
        command
          .requiredOption('-t, --tenant <tenant>', 'in whose chain', aTenant)
          .option('--saga <name>', 'which saga', 'drift'),
    },
    async ({ ledger, output }, { tenant, saga: name }, [key = '']) => {
      await headOf(ledger, tenant);
      const saga = sagaNamed(name);
      let facts = 0;
      for await (const step of traceSaga({ store: ledger.store, saga, tenant, key })) {
        facts += 1;
        output.item(step, () => stepText(step));
      }
      if (facts === 0)
        throw new CliError('refused', 'nothing-known', `${name} knows nothing of ${key} in ${tenant}`);
      return 'ok';
    },
  );

const stepText = ({ seq, type, recordedAt, actor, data, before, after, reactions }: TracedFact): string =>
  [
    `${figure(seq)}  ${instantText(recordedAt)}  ${type} by ${visible(actor)}`,
    `  ${visible(JSON.stringify(data))}`,
    ...changes(before, after).map((line) => `  ${line}`),
    ...reactions.map(({ reaction, recorded }) =>
      recorded
        ? `  -> ${reaction.command.type}, recorded as fact ${figure(recorded.seq)} (${recorded.type})`
        : `  -> ${reaction.command.type}, not recorded: refused, silent on history, or still to come`,
    ),
  ].join('\n');

const changes = (before: unknown, after: unknown): readonly string[] =>
  Object.entries(after as object).flatMap(([name, value]) => {
    const was = JSON.stringify((before as Record<string, unknown>)[name]);
    const is = JSON.stringify(value);
    return was === is ? [] : [`${name}: ${visible(was ?? 'nothing')} -> ${visible(is)}`];
  });

const resume = (run: Run): Command =>
  ledgerLeaf<OfTenant>(
    run,
    {
      usage: 'resume <name>',
      summary: 'let a saga that has halted try the same fact again, which is never skipped',
      examples: ['sagas resume drift --tenant acme'],
      build: (command) =>
        command.requiredOption('-t, --tenant <tenant>', 'the tenant it has halted for', aTenant),
    },
    async ({ ledger, output }, { tenant }, [name = '']) => {
      await headOf(ledger, tenant);
      if (!(await postgresSagaShelf(ledger.databases).resume(sagaNamed(name), tenant)))
        throw new CliError('refused', 'not-halted', `${name} of ${tenant} has not halted at any fact`);
      output.answer(
        { saga: name, tenant, status: 'running' },
        () => `${name} of ${tenant} tries again; running services notice within seconds`,
      );
      return 'ok';
    },
  );

export const sagaCommands = (run: Run): Command =>
  group('sagas', 'what reacts to facts by itself', [list(run), status(run), trace(run), resume(run)]);
