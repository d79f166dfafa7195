// What an operator asks of a ledger: is it well, how far is everything, what is configured; and the read-only SQL.
import type { Command } from 'commander';
import { AUDITOR_ROLE } from '#projectors/postgres/isolation.ts';
import { type ProjectionStatus, projectionStatus } from '#projectors/postgres/status.ts';
import { instantText } from '#schemas/ids.ts';
import { withClient } from '#streams/postgres/connect.ts';
import { aPort, group, leaf, ledgerLeaf, type Options, type Run } from './command.ts';
import { CliError } from './exit.ts';
import { count, figure, pairs, table, visible } from './output.ts';
import { untilStopped } from './running.ts';
import type { Finding } from './world.ts';

export const statusCommand = (run: Run): Command =>
  ledgerLeaf(
    run,
    {
      usage: 'status',
      summary: 'the ledger at a glance: tenants, facts, read models',
      examples: ['status', 'status --json'],
    },
    async ({ ledger, output }) => {
      const heads = await ledger.store.heads();
      const tenants = heads.map(({ tenant, seq, hash, recordedAt }) => ({
        tenant,
        facts: seq,
        head_hash: hash,
        last_recorded_at: instantText(recordedAt),
      }));
      const status = {
        ledger_id: ledger.store.ledgerId,
        tenants,
        facts: tenants.reduce((sum, { facts }) => sum + facts, 0),
        kids: ledger.jwks().keys.map(({ kid }) => kid),
        projections: await projectionStatus(ledger.databases),
      };
      output.answer(status, () => statusText(status));
      return 'ok';
    },
  );

interface Status {
  readonly ledger_id: string;
  readonly tenants: readonly {
    readonly tenant: string;
    readonly facts: number;
    readonly head_hash: string;
    readonly last_recorded_at: string;
  }[];
  readonly facts: number;
  readonly kids: readonly string[];
  readonly projections: readonly ProjectionStatus[];
}

const statusText = ({ ledger_id, tenants, facts, kids, projections }: Status): string => {
  const parts = [
    pairs([
      ['ledger', ledger_id],
      ['tenants', figure(tenants.length)],
      ['facts', figure(facts)],
      ['signing key', kids[0]],
    ]),
  ];
  if (tenants.length > 0) {
    const rows = tenants.map((row) => [
      row.tenant,
      figure(row.facts),
      `${row.head_hash.slice(0, 16)}…`,
      row.last_recorded_at,
    ]);
    parts.push(table(['TENANT', 'FACTS', 'HEAD', 'LAST FACT'], rows));
  }
  if (projections.length > 0) {
    const rows = projections.map((row) => [
      row.tenant,
      `${row.projection} v${row.version}`,
      row.state,
      figure(row.asOfSeq),
      count(row.lagFacts, 'fact'),
    ]);
    parts.push(table(['TENANT', 'READ MODEL', 'STATE', 'AS OF', 'BEHIND'], rows));
  }
  return parts.join('\n\n');
};

const MARKS: { readonly [State in Finding['state']]: string } = {
  ok: 'ok     ',
  warning: 'warning',
  failed: 'FAILED ',
};

export const doctorCommand = (run: Run): Command =>
  leaf(
    run,
    {
      usage: 'doctor',
      summary: 'looks at everything a ledger needs, and says what to do about what is wrong',
      examples: ['doctor', 'doctor --json'],
    },
    async ({ world, output }) => {
      const findings: Finding[] = [];
      for await (const finding of world.examine()) findings.push(finding);
      const failed = findings.some(({ state }) => state === 'failed');
      output.answer({ ok: !failed, findings }, () =>
        findings
          .map(
            ({ check, state, detail, remedy }) =>
              `${MARKS[state]}  ${check.padEnd(12)}  ${visible(detail)}${remedy ? `\n${' '.repeat(23)}-> ${visible(remedy)}` : ''}`,
          )
          .join('\n'),
      );
      return failed ? 'refused' : 'ok';
    },
  );

export const configCommand = (run: Run): Command =>
  leaf(
    run,
    {
      usage: 'config',
      summary: 'the configuration in effect; secrets are masked',
      examples: ['config', 'config --json'],
    },
    async ({ world, output }) => {
      const settings = world.settings();
      output.answer({ settings }, () =>
        table(
          ['SETTING', 'VALUE', 'FROM', 'WHAT IT IS'],
          settings.map(({ name, value, source, description }) => [name, value, source, description]),
        ),
      );
      return 'ok';
    },
  );

export const migrateCommand = (run: Run): Command =>
  leaf(
    run,
    {
      usage: 'migrate',
      summary: "bring the database to this program's schema; run as its owner, once for each release",
      examples: ['migrate'],
    },
    async ({ world, output }) => {
      const applied = await world.migrate();
      output.answer({ applied: applied.map(({ set, number, name }) => ({ set, number, name })) }, () =>
        applied.length === 0
          ? 'nothing to do: the schema is that of this program'
          : applied
              .map(({ set, number, name }) => `applied ${set}/${String(number).padStart(4, '0')}_${name}`)
              .join('\n'),
      );
      return 'ok';
    },
  );

const listKeys = (run: Run): Command =>
  leaf(
    run,
    {
      usage: 'list',
      summary: 'the signing keys, the active one first',
      examples: ['keys list', 'keys list --json > jwks.json'],
    },
    async ({ world, output }) => {
      const { signer, jwks } = await world.keys();
      output.answer(jwks(), () =>
        table(
          ['KEY', 'ALGORITHM', 'STATE'],
          jwks().keys.map(({ kid, alg }) => [
            kid,
            alg,
            kid === signer.kid ? 'active' : 'retired, still verifies',
          ]),
        ),
      );
      return 'ok';
    },
  );

const rotateKeys = (run: Run): Command =>
  leaf<{ readonly algorithm?: string }>(
    run,
    {
      usage: 'rotate',
      summary: 'make a new signing key and use it; older ones go on verifying',
      examples: ['keys rotate', 'keys rotate --algorithm ES256'],
      build: (command) =>
        command.option('--algorithm <name>', 'Ed25519 or ES256; that of the active key unless given'),
    },
    async ({ world, output }, { algorithm }) => {
      if (algorithm !== undefined && algorithm !== 'Ed25519' && algorithm !== 'ES256')
        throw new CliError(
          'usage',
          'unknown-algorithm',
          `${algorithm} is not an algorithm of this ledger; use Ed25519 or ES256`,
        );
      const before = await world.keys();
      const after = await before.rotate(algorithm);
      output.answer(
        { active: after.signer.kid, retired: before.signer.kid },
        () =>
          `${after.signer.kid} signs from now on; ${before.signer.kid} still verifies. Restart running services, and publish the new key set`,
      );
      return 'ok';
    },
  );

export const keyCommands = (run: Run): Command =>
  group('keys', "the ledger's signing keys", [listKeys(run), rotateKeys(run)]);

interface ServeOptions extends Options {
  readonly host?: string;
  readonly port?: number;
  readonly projectors: boolean;
}

export const serveCommand = (run: Run): Command =>
  leaf<ServeOptions>(
    run,
    {
      usage: 'serve',
      summary: 'answer HTTP and keep the read models, until ctrl-C or SIGTERM, which drain',
      examples: ['serve', 'serve --host 0.0.0.0 --port 8080', 'serve --no-projectors'],
      build: (command) =>
        command
          .option('--host <address>', 'address to listen on')
          .option('--port <number>', 'port to listen on; 0 takes a free one', aPort)
          .option('--no-projectors', 'answer HTTP only; another process keeps the read models'),
    },
    async ({ world, output }, { host, port, projectors }) => {
      const service = await world.serve({ host, port, withoutProjectors: !projectors });
      output.answer({ url: service.url }, () => `listening on ${service.url}`);
      return await untilStopped({ world, output }, service);
    },
  );

export const projectorWorkerCommand = (run: Run): Command =>
  leaf(
    run,
    {
      usage: 'projector-worker',
      summary: 'keep the read models beside other workers, each its part of the tenants, until ctrl-C',
      examples: ['projector-worker', 'projector-worker --json'],
    },
    async ({ world, output }) => {
      const worker = await world.projectorWorker();
      output.answer(
        { operators_url: worker.operatorsUrl },
        () => `working; figures at ${worker.operatorsUrl}`,
      );
      return await untilStopped({ world, output }, worker);
    },
  );

const ROWS_MAX = 1_000;

export const sqlCommand = (run: Run): Command =>
  ledgerLeaf<{ readonly limit?: number }>(
    run,
    {
      usage: 'sql <query>',
      summary: 'one SQL query over the read models (schema "views") of all tenants, read-only',
      examples: [
        'sql "select * from views.tenants"',
        'sql "select action, count(*) from views.receipts group by 1 order by 2 desc" --json',
      ],
    },
    async ({ ledger, output }, _, [query = '']) => {
      const { fields, rows } = await readOnly(ledger.pool, query);
      const shown = rows.slice(0, ROWS_MAX);
      output.answer(
        {
          columns: fields,
          rows: rows.map((row) => Object.fromEntries(fields.map((field, index) => [field, row[index]]))),
        },
        () =>
          [
            table(fields, shown),
            `(${count(rows.length, 'row')}${rows.length > shown.length ? `, the first ${figure(ROWS_MAX)} shown; --json gives all` : ''})`,
          ].join('\n'),
      );
      return 'ok';
    },
  );

const readOnly = (pool: Parameters<typeof withClient>[0], query: string) =>
  withClient(pool, async (client) => {
    try {
      await client.query('BEGIN TRANSACTION READ ONLY');
      // Not as the role that writes, and not as the owner: this one may ask the views, and nothing else.
      await client.query(`SET LOCAL ROLE ${AUDITOR_ROLE}`);
      await client.query("SET LOCAL search_path = views, pg_catalog; SET LOCAL statement_timeout = '60s'");
      // The extended protocol takes one statement only, so that none can end this transaction and go on.
      const request = { text: query, rowMode: 'array' as const, queryMode: 'extended' as const };
      const { fields, rows } = await client.query<unknown[]>(request);
      return { fields: fields.map(({ name }) => name), rows };
    } catch (error) {
      const { code = '', message, hint } = error as { code?: string; message: string; hint?: string };
      // Class 42: syntax and names; 25006: a write; 22: a value; 57014: cancelled by the timeout.
      if (!/^(?:42|22|25|0A|21|57014)/.test(code)) throw error;
      throw new CliError(
        'usage',
        'sql-refused',
        `${message}${hint ? ` (${hint})` : ''}; the read models are in the schema "views"`,
        { cause: error },
      );
    } finally {
      await client.query('ROLLBACK').catch(() => undefined);
    }
  });
