// prov-ledger analyst ...: people and tools that ask one tenant's views in SQL, each with a login of its own.
import type { Command } from 'commander';
import {
  analystPassword,
  analystRole,
  createAnalyst,
  dropAnalyst,
  listAnalysts,
  opaqueRole,
  randomPassword,
} from '#projectors/postgres/analysts.ts';
import { instantText, tenantId } from '#schemas/ids.ts';
import { group, headOf, ledgerLeaf, type Options, parsedBy, type Run, tenantArgument } from './command.ts';
import { CliError } from './exit.ts';
import { table } from './output.ts';
import type { World } from './world.ts';

interface CreateOptions extends Options {
  readonly role?: string;
  readonly passwordStdin?: boolean;
}

const create = (run: Run): Command =>
  ledgerLeaf<CreateOptions>(
    run,
    {
      usage: 'create <tenant>',
      summary:
        "a login that may ask this tenant's views in SQL, and nothing else; its password is shown once",
      examples: ['analyst create acme', 'analyst create acme --role acme_bi --password-stdin < password.txt'],
      build: (command) =>
        command
          .option(
            '--role <name>',
            'its name; one that does not show the tenant unless given: all roles of a server can read the names of all others',
            parsedBy(analystRole),
          )
          .option('--password-stdin', 'read the password from standard input instead of making one'),
    },
    async ({ ledger, output, world }, options, args) => {
      const { tenant } = await headOf(ledger, tenantArgument(args));
      const role = options.role ?? opaqueRole();
      const given = options.passwordStdin === true ? await givenPassword(world) : undefined;
      const password = given ?? randomPassword();
      const outcome = await createAnalyst(ledger.pool, { tenant, role, password });
      if (outcome === 'no-such-tenant')
        throw new CliError('refused', 'no-such-tenant', `there is no tenant ${tenant} any more`);
      if (outcome === 'role-taken')
        throw new CliError(
          'refused',
          'role-taken',
          `there is a role ${role} on this server already; choose another name with --role`,
        );
      const { rows } = await ledger.pool.query<{ database: string; port: number }>(
        "SELECT current_database() AS database, current_setting('port')::integer AS port",
      );
      const { database, port } = rows[0] ?? {};
      const secret = given === undefined ? { password } : {};
      output.answer({ tenant, role, database, port, ...secret }, () =>
        given === undefined ? password : role,
      );
      output.note(
        `${role} may ask the views of ${tenant}: database ${database}, port ${port}${given === undefined ? '; the password is not shown again' : ''}`,
      );
      return 'ok';
    },
  );

/** The first line of standard input. */
const givenPassword = async ({ stdin }: World): Promise<string> => {
  if (stdin.isTTY)
    throw new CliError(
      'usage',
      'no-password',
      'the password would be seen: pass it on by a file or a pipe, as in `--password-stdin < password.txt`',
    );
  let text = '';
  for await (const chunk of stdin) {
    text += String(chunk);
    if (text.length > 10_000) break;
  }
  try {
    return analystPassword(text.split(/\r?\n/, 1)[0] ?? '');
  } catch (error) {
    throw new CliError('usage', 'bad-password', (error as Error).message);
  }
};

const list = (run: Run): Command =>
  ledgerLeaf(
    run,
    {
      usage: 'list [tenant]',
      summary: 'the analysts of a tenant, or of all',
      examples: ['analyst list', 'analyst list acme --json'],
    },
    async ({ ledger, output }, _, [of]) => {
      const analysts = await listAnalysts(ledger.pool, of === undefined ? undefined : tenantId(of));
      const rows = analysts.map(({ role, tenant, createdAt, mayLogIn }) => ({
        role,
        tenant,
        created_at: instantText(createdAt),
        may_log_in: mayLogIn,
      }));
      output.answer({ analysts: rows }, () =>
        rows.length === 0
          ? 'no analysts yet; make one with `prov-ledger analyst create TENANT`'
          : table(
              ['ROLE', 'TENANT', 'CREATED', 'MAY LOG IN'],
              rows.map((row) => [
                row.role,
                row.tenant,
                row.created_at,
                row.may_log_in ? 'yes' : 'no: drop it',
              ]),
            ),
      );
      return 'ok';
    },
  );

const drop = (run: Run): Command =>
  ledgerLeaf(
    run,
    {
      usage: 'drop <role>',
      summary: 'let an analyst in no more; open connections see nothing from then on',
      examples: ['analyst drop acme_bi'],
    },
    async ({ ledger, output }, _, [role = '']) => {
      const outcome = await dropAnalyst(ledger.pool, role);
      if (outcome === 'no-such-analyst')
        throw new CliError(
          'refused',
          'no-such-analyst',
          `there is no analyst ${role}; \`prov-ledger analyst list\` names them`,
        );
      if (outcome === 'role-owns-objects')
        throw new CliError(
          'refused',
          'role-owns-objects',
          `${role} owns something on this server: look at it, run DROP OWNED BY ${role} as a superuser in each database, and try again`,
        );
      output.answer({ role, status: 'dropped' }, () => `${role} is dropped`);
      return 'ok';
    },
  );

export const analystCommands = (run: Run): Command =>
  group('analyst', "logins that ask one tenant's views in SQL", [create(run), list(run), drop(run)]);
