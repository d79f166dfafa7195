// prov-ledger operator ...: who may administer tenants and tokens over HTTP. The first such token can only be made here,
// by whoever reaches the database: over HTTP there is nobody yet who could ask for it.
import type { Command } from 'commander';
import { OPERATORS } from '#commands/tenants.ts';
import { ensureOperators } from '../tenancy/operators.ts';
import { aMoment, group, ledgerLeaf, type Options, type Run } from './command.ts';
import { ACTOR, issueToken } from './tenants.ts';

interface OperatorOptions extends Options {
  readonly label: string;
  readonly expires?: string;
}

const create = (run: Run) =>
  ledgerLeaf<OperatorOptions>(
    run,
    {
      usage: 'create',
      summary: 'issue a token that administers tenants and tokens over HTTP; it is shown once',
      examples: [
        'operator create --label "Ada, on call"',
        'operator create --label rollout --expires 2027-01-01T00:00:00Z',
      ],
      build: (command) =>
        command
          .requiredOption('--label <text>', 'whose it is')
          .option('--expires <time>', 'when it ends by itself, RFC 3339', aMoment),
    },
    async (context, options) => {
      const { ledger, world } = context;
      await ensureOperators(ledger.store, { actor: ACTOR, at: world.clock() });
      const issued = await issueToken(context, OPERATORS, options);
      context.output.answer(
        { tenant: OPERATORS, token_id: issued.tokenId, token: issued.token, scopes: issued.scopes },
        () => issued.token,
      );
      context.output.note(
        `token ${issued.tokenId} for ${OPERATORS} (${issued.scopes.join(', ')}): keep it, it is not shown again; \`prov-ledger token list ${OPERATORS}\` has all of them`,
      );
      return 'ok';
    },
  );

export const operatorCommands = (run: Run): Command =>
  group('operator', 'who may administer tenants and tokens over HTTP', [create(run)]);
