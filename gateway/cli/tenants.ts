// prov-ledger tenant ... and prov-ledger token ...: commands to the tenants domain, whose decider says yes or no.
import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import { runCommand } from '#commands/run.ts';
import { type TenantCommand, tenants } from '#commands/tenants.ts';
import type { TenantId } from '#schemas/ids.ts';
import { tokenId } from '#schemas/tenants.ts';
import { grantableScopes, newToken, TENANT_SCOPES, usualScopes } from '../http/tokens.ts';
import { tenantDocument, tenantState, tokenDocuments } from '../tenancy/documents.ts';
import {
  aMoment,
  group,
  headOf,
  type LedgerContext,
  ledgerLeaf,
  type Options,
  type Run,
  tenantArgument,
} from './command.ts';
import { CliError } from './exit.ts';
import { moveCommand } from './move.ts';
import { count, table } from './output.ts';

export const ACTOR = 'prov-ledger cli';

/** Sends one command; a refusal becomes the error the program ends with. */
const send = async ({ ledger, world }: LedgerContext, tenant: TenantId, command: TenantCommand) => {
  const context = { tenant, actor: ACTOR, at: world.clock(), key: randomUUID() };
  const outcome = await runCommand({ store: ledger.store, decider: tenants }, command, context);
  switch (outcome.kind) {
    case 'recorded':
    case 'repeated':
      return outcome.facts.map(({ fact }) => fact);
    case 'refused':
      throw new CliError('refused', words(outcome.refusal.refusal), outcome.refusal.message);
    case 'no-such-tenant':
      throw new CliError(
        'refused',
        'tenant-unknown',
        `there is no tenant ${tenant}; make one with \`prov-ledger tenant create ${tenant}\``,
      );
    case 'id-taken':
      throw new CliError('refused', 'id-taken', "the command's random id was taken; run it again");
    default:
      return outcome satisfies never;
  }
};

/** `TenantAlreadyExists` as `tenant-already-exists`. */
const words = (name: string): string => name.replace(/(?<=.)[A-Z]/g, (letter) => `-${letter}`).toLowerCase();

const changed = (
  run: Run,
  name: string,
  about: {
    readonly summary: string;
    readonly examples: readonly string[];
    readonly build?: (command: Command) => Command;
  },
  commandOf: (options: Options, tenant: TenantId) => TenantCommand,
) =>
  ledgerLeaf(run, { ...about, usage: `${name} <tenant>` }, async (context, options, args) => {
    const tenant = tenantArgument(args);
    const [fact] = await send(context, tenant, commandOf(options, tenant));
    context.output.answer(
      { tenant, seq: fact?.seq, type: fact?.type, hash: fact?.hash },
      () => `${tenant}: ${fact?.type} recorded as fact ${fact?.seq}`,
    );
    return 'ok';
  });

const list = (run: Run) =>
  ledgerLeaf(
    run,
    {
      usage: 'list',
      summary: 'all tenants, with the end of each chain',
      examples: ['tenant list', 'tenant list --json'],
    },
    async ({ ledger, output }) => {
      const heads = await ledger.store.heads();
      const rows = await Promise.all(
        heads.map(async (head) => tenantDocument(head, await tenantState(ledger.store, head.tenant))),
      );
      output.answer({ tenants: rows }, () =>
        rows.length === 0
          ? 'no tenants yet; make one with `prov-ledger tenant create NAME`'
          : table(
              ['TENANT', 'NAME', 'STATUS', 'FACTS', 'LAST FACT'],
              rows.map((row) => [row.tenant, row.display_name, row.status, row.facts, row.last_recorded_at]),
            ),
      );
      return 'ok';
    },
  );

const show = (run: Run) =>
  ledgerLeaf(
    run,
    {
      usage: 'show <tenant>',
      summary: 'one tenant: its state, its chain, its tokens',
      examples: ['tenant show acme'],
    },
    async ({ ledger, output, world }, _, args) => {
      const head = await headOf(ledger, tenantArgument(args));
      const state = await tenantState(ledger.store, head.tenant);
      const tokens = tokenDocuments(state, world.clock());
      output.answer({ ...tenantDocument(head, state), tokens }, () =>
        [
          `${head.tenant} (${state.displayName}), ${state.standing}`,
          `${count(head.seq, 'fact')}, head ${head.hash}`,
          count(
            tokens.filter(({ status }) => status === 'in force').length,
            'token in force',
            'tokens in force',
          ),
        ].join('\n'),
      );
      return 'ok';
    },
  );

export const tenantCommands = (run: Run): Command =>
  group('tenant', 'tenants: the owners of chains of facts', [
    changed(
      run,
      'create',
      {
        summary: 'open the chain of a new tenant',
        examples: ['tenant create acme', 'tenant create acme --name "Acme GmbH"'],
        build: (command) =>
          command.option('--name <text>', 'the name people know it by; the tenant itself unless given'),
      },
      ({ name }, tenant) => ({ type: 'CreateTenant', displayName: typeof name === 'string' ? name : tenant }),
    ),
    list(run),
    show(run),
    changed(
      run,
      'rename',
      {
        summary: 'change the name people know a tenant by',
        examples: ['tenant rename acme --name "Acme AG"'],
        build: (command) => command.requiredOption('--name <text>', 'the new name'),
      },
      ({ name }) => ({ type: 'RenameTenant', displayName: String(name) }),
    ),
    changed(
      run,
      'suspend',
      {
        summary: 'let nobody in until it is resumed',
        examples: ['tenant suspend acme --reason "unpaid"'],
        build: (command) => command.requiredOption('--reason <text>', 'why'),
      },
      ({ reason }) => ({ type: 'SuspendTenant', reason: String(reason) }),
    ),
    changed(
      run,
      'resume',
      { summary: "let a suspended tenant's tokens in again", examples: ['tenant resume acme'] },
      () => ({ type: 'ResumeTenant' }),
    ),
    moveCommand(run),
  ]).alias('tenants');

// --- tokens

interface TokenOptions extends Options {
  readonly scope?: readonly string[];
  readonly expires?: string;
  readonly label?: string;
}

/** Issues a token and records its hash; the token itself is in the answer and nowhere else. */
export const issueToken = async (
  context: LedgerContext,
  tenant: TenantId,
  { scope = usualScopes(tenant), expires, label }: TokenOptions,
) => {
  const { token, tokenId: id, tokenHash } = newToken(tenant);
  const command = {
    type: 'IssueToken',
    tokenId: id,
    tokenHash,
    scopes: scope,
    ...(expires !== undefined && { expiresAt: expires }),
    ...(label !== undefined && { label }),
  } as const;
  await send(context, tenant, command);
  return { token, tokenId: id, scopes: scope };
};

const createToken = (run: Run) =>
  ledgerLeaf<TokenOptions>(
    run,
    {
      usage: 'create <tenant>',
      summary: 'issue a bearer token; it is shown once',
      examples: [
        'token create acme --label "build server"',
        'token create acme --scope receipts:write --expires 2027-01-01T00:00:00Z',
      ],
      build: (command) =>
        command
          .option('--scope <scope...>', `what the bearer may do; ${TENANT_SCOPES.join(', ')} unless given`)
          .option('--expires <time>', 'when it ends by itself, RFC 3339', aMoment)
          .option('--label <text>', 'what it is for'),
    },
    async (context, options, args) => {
      const tenant = tenantArgument(args);
      const grantable: readonly string[] = grantableScopes(tenant);
      const unknown = options.scope?.find((scope) => !grantable.includes(scope));
      if (unknown !== undefined)
        throw new CliError(
          'usage',
          'unknown-scope',
          `${unknown} is not a scope of ${tenant}; use ${grantable.join(', ')}`,
        );
      const issued = await issueToken(context, tenant, options);
      context.output.answer(
        { tenant, token_id: issued.tokenId, token: issued.token, scopes: issued.scopes },
        () => issued.token,
      );
      context.output.note(
        `token ${issued.tokenId} for ${tenant} (${issued.scopes.join(', ')}): keep it, it is not shown again`,
      );
      return 'ok';
    },
  );

const listTokens = (run: Run) =>
  ledgerLeaf(
    run,
    {
      usage: 'list <tenant>',
      summary: 'the tokens of a tenant, and when each last let somebody in; never their secrets',
      examples: ['token list acme'],
    },
    async ({ ledger, output, world }, _, args) => {
      const { tenant } = await headOf(ledger, tenantArgument(args));
      const uses = await ledger.lastUses?.(tenant);
      const rows = tokenDocuments(await tenantState(ledger.store, tenant), world.clock(), uses);
      output.answer({ tenant, tokens: rows }, () =>
        rows.length === 0
          ? `${tenant} has no tokens`
          : table(
              ['TOKEN', 'STATUS', 'SCOPES', 'EXPIRES', 'LAST USED', 'LABEL'],
              rows.map((row) => [
                row.token_id,
                row.status,
                row.scopes.join(' '),
                row.expires_at,
                row.last_used_at,
                row.label,
              ]),
            ),
      );
      return 'ok';
    },
  );

const revokeToken = (run: Run) =>
  ledgerLeaf<{ readonly reason?: string }>(
    run,
    {
      usage: 'revoke <tenant> <token-id>',
      summary: 'let nobody in with this token any more, within a second',
      examples: ['token revoke acme 5f0c9d2e1b7a4c38 --reason leaked'],
      build: (command) => command.option('--reason <text>', 'why'),
    },
    async (context, { reason }, args) => {
      const tenant = tenantArgument(args);
      const id = tokenId(args[1] ?? '');
      await send(context, tenant, {
        type: 'RevokeToken',
        tokenId: id,
        ...(reason !== undefined && { reason }),
      });
      context.output.answer(
        { tenant, token_id: id, status: 'revoked' },
        () => `${id} of ${tenant} is revoked`,
      );
      return 'ok';
    },
  );

export const tokenCommands = (run: Run): Command =>
  group('token', 'bearer tokens of a tenant', [createToken(run), listTokens(run), revokeToken(run)]);
