// prov-ledger views at|list|drop|history|export: what the read models said at an earlier place, and how one row came to be.
import { type Command, Option } from 'commander';
import type { AnyProjector } from '#projectors/batch.ts';
import { projectors } from '#projectors/index.ts';
import type { Asked } from '#projectors/postgres/snapshots/position.ts';
import { dropSnapshot, listSnapshots, schemaOf } from '#projectors/postgres/snapshots/register.ts';
import { type SnapshotTaken, takeSnapshot } from '#projectors/postgres/snapshots/snapshot.ts';
import { type RowMoment, rowHistory } from '#projectors/rebuild/row-history.ts';
import { skipsIn } from '#projectors/rebuild/skips.ts';
import { type Instant, instant, instantText, type Seq, type TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import {
  aMoment,
  aSeq,
  aTenant,
  group,
  headOf,
  ledgerLeaf,
  type Options,
  parsedBy,
  type Run,
} from './command.ts';
import { CliError } from './exit.ts';
import { count, figure, table, visible } from './output.ts';
import { startProgress } from './progress.ts';
import { projectorNamed } from './rebuild.ts';

export const aSnapshot = parsedBy((raw: string): string => {
  schemaOf(raw);
  return raw;
});

const aModel = (raw: string, before: readonly AnyProjector[] = []): readonly AnyProjector[] => [
  ...before,
  projectorNamed(raw),
];

interface AtOptions extends Options {
  readonly as: string;
  readonly seq?: Seq;
  readonly time?: string;
  readonly tenant?: TenantId;
  readonly model?: readonly AnyProjector[];
  readonly quiet?: boolean;
}

const at = (run: Run): Command =>
  ledgerLeaf<AtOptions>(
    run,
    {
      usage: 'at',
      summary:
        'read models as of one place, proved, in a schema of their own: a place of one tenant, a time, or the heads of now',
      examples: [
        'views at --as audit_q3 --time 2026-09-30T23:59:59Z',
        'views at --as before_the_incident --tenant acme --seq 4711',
        'views at --as today',
      ],
      build: (command) =>
        command
          .requiredOption('--as <name>', 'its name; the schema is as_of_<name>', aSnapshot)
          .option('--seq <seq>', 'up to this fact of the tenant', aSeq)
          .option('--time <time>', 'up to what was recorded then, as 2026-09-30T23:59:59Z', aMoment)
          .option('-t, --tenant <tenant>', 'of this tenant only', aTenant)
          .option('-m, --model <name>', 'only this read model; may be given more than once', aModel)
          .option('-q, --quiet', 'show no progress'),
    },
    async ({ ledger, output, world }, options) => {
      const { tenant, as, quiet = false, model = projectors } = options;
      if (tenant !== undefined) await headOf(ledger, tenant);
      let state = { done: 0, share: 0, note: 'filling' };
      const progress = startProgress({
        terminal: world.stderr,
        unit: 'facts',
        verb: 'folded',
        state: () => state,
        enabled: !quiet && !output.json,
      });
      try {
        const taken = await takeSnapshot({
          databases: ledger.databases,
          store: ledger.store,
          projectors: model,
          name: as,
          asked: askedOf(options, world.clock()),
          skips: skipsIn(ledger.store),
          signal: world.signal,
          onFacts: (note, done, total) => {
            state = { done, share: total > 0 ? done / total : 1, note };
          },
        });
        progress.stop();
        output.answer(documentOf(taken), () => takenText(taken));
        return 'ok';
      } finally {
        progress.stop();
      }
    },
  );

const askedOf = ({ seq, time, tenant }: AtOptions, now: Instant): Asked => {
  if (seq !== undefined && time !== undefined)
    throw new CliError('usage', 'two-places', 'give --seq or --time, not both');
  if (seq !== undefined && tenant === undefined)
    throw new CliError(
      'usage',
      'no-tenant',
      'each tenant counts its own facts: say with --tenant whose fact --seq is, or use --time for all of them',
    );
  if (seq !== undefined && tenant !== undefined) return { kind: 'seq', seq, tenant };
  if (time === undefined) return { kind: 'now', tenant };
  if (instant(time) > now)
    throw new CliError('usage', 'in-the-future', `${time} has not come yet: facts may still be recorded`);
  return { kind: 'time', time: instant(time), tenant };
};

const documentOf = ({ name, schema, position, models }: SnapshotTaken): object => ({
  name,
  schema,
  position: position.map(({ tenant, seq, hash, recordedAt }) => ({
    tenant,
    as_of_seq: seq,
    as_of_hash: hash,
    as_of: instantText(recordedAt),
  })),
  models,
});

const takenText = ({ schema, position, models }: SnapshotTaken): string => {
  const rows = models.reduce(
    (sum, { proofs }) => sum + proofs.reduce((all, proof) => all + proof.rows, 0),
    0,
  );
  const [only] = position.length === 1 ? position : [];
  const where = only
    ? `fact ${figure(only.seq)} of ${only.tenant}, recorded ${instantText(only.recordedAt)}`
    : `one place of ${count(position.length, 'tenant')}`;
  const [first] = models;
  return [
    `${schema} has ${models.map(({ projection }) => projection).join(', ')} as of ${where}: ${count(rows, 'row')}, equal to an independent replay`,
    `  ask it, as in \`SELECT * FROM ${schema}.${first?.projection}\`; ${schema}.as_of says where it stands`,
  ].join('\n');
};

const list = (run: Run): Command =>
  ledgerLeaf(
    run,
    {
      usage: 'list',
      summary: 'the schemas that `views at` made',
      examples: ['views list', 'views list --json'],
    },
    async ({ ledger, output }) => {
      const snapshots = await listSnapshots(ledger.pool);
      const documents = snapshots.map(({ createdAt, ...rest }) => ({
        ...rest,
        created_at: instantText(createdAt),
      }));
      output.answer({ snapshots: documents }, () =>
        documents.length === 0
          ? 'none yet; make one with `prov-ledger views at --as NAME --time TIME`'
          : table(
              ['SCHEMA', 'AS OF', 'TENANTS', 'FACTS', 'MADE', ''],
              documents.map((each) => [
                each.schema,
                each.asked,
                figure(each.tenants),
                figure(each.facts),
                each.created_at,
                each.complete ? '' : 'not complete: drop it, unless it is being made',
              ]),
            ),
      );
      return 'ok';
    },
  );

const drop = (run: Run): Command =>
  ledgerLeaf(
    run,
    { usage: 'drop <name>', summary: 'drop what `views at` made', examples: ['views drop audit_q3'] },
    async ({ ledger, output }, _, [raw = '']) => {
      const name = raw.replace(/^as_of_/, '');
      await dropSnapshot(ledger.pool, name);
      output.answer({ name, status: 'dropped' }, () => `as_of_${name} is dropped`);
      return 'ok';
    },
  );

const history = (run: Run): Command =>
  ledgerLeaf<{ readonly tenant: TenantId; readonly seq?: Seq } & Options>(
    run,
    {
      usage: 'history <name> [key...]',
      summary: 'the facts that made one row of a read model, and what it was after each',
      examples: [
        'views history receipts_daily 2026-11-10 db.export deny --tenant acme',
        'views history receipts r-7 --tenant acme --json',
      ],
      build: (command) =>
        command
          .requiredOption('-t, --tenant <tenant>', 'the tenant', aTenant)
          .option('--seq <seq>', 'up to this fact', aSeq),
    },
    async ({ ledger, output }, { tenant, seq }, [name = '', ...key]) => {
      const projector = projectorNamed(name);
      await headOf(ledger, tenant);
      if (key.length !== projector.key.length)
        throw new CliError(
          'usage',
          'other-key',
          projector.key.length === 0
            ? `${name} has one row for each tenant: give no key`
            : `a row of ${name} is named by ${projector.key.join(', ')}: give ${count(projector.key.length, 'value')}, in that order`,
        );
      let moments = 0;
      for await (const moment of rowHistory({
        store: ledger.store,
        projector,
        tenant,
        key,
        to: seq,
        decode: decodeFact,
        skips: await skipsIn(ledger.store)(name, tenant),
      })) {
        moments += 1;
        output.item(momentOf(moment), () => momentText(moment));
      }
      if (moments === 0)
        throw new CliError(
          'refused',
          'no-such-row',
          `no fact of ${tenant} has made a row ${visible(key.join(' '))} of ${name}`,
        );
      return 'ok';
    },
  );

const momentOf = ({ fact, row, refused }: RowMoment): object => ({
  seq: fact.seq,
  id: fact.id,
  type: fact.type,
  actor: fact.actor,
  recorded_at: instantText(fact.recordedAt),
  ...(refused === undefined ? { row: row ?? null } : { refused }),
});

const momentText = ({ fact, row, refused }: RowMoment): string => {
  const became =
    refused === undefined ? (row ? JSON.stringify(row) : 'the row is gone') : `refused: ${refused}`;
  return `${figure(fact.seq)}  ${instantText(fact.recordedAt)}  ${visible(fact.type)}  by ${visible(fact.actor)}\n    ${visible(became)}`;
};

interface ExportOptions extends Options {
  readonly format: string;
  readonly snapshot?: string;
  readonly tenant?: TenantId;
  readonly model?: readonly AnyProjector[];
}

const exportFiles = (run: Run): Command =>
  ledgerLeaf<ExportOptions>(
    run,
    {
      usage: 'export <folder>',
      summary: 'read models as files for notebooks and BI tools, all at one place of the ledger',
      examples: [
        'views export ./today',
        'views export ./q3 --snapshot audit_q3',
        'views export ./acme --tenant acme',
      ],
      build: (command) =>
        command
          .addOption(new Option('--format <name>', 'of the files').choices(['parquet']).default('parquet'))
          .option('--snapshot <name>', 'one that `views at` made; the rows in use unless given', aSnapshot)
          .option('-t, --tenant <tenant>', 'of this tenant only', aTenant)
          .option('-m, --model <name>', 'only this read model; may be given more than once', aModel),
    },
    async ({ ledger, output }, { snapshot, tenant, model = projectors }, [folder = '']) => {
      if (tenant !== undefined) await headOf(ledger, tenant);
      // Loaded for this command alone: it brings a database of its own along.
      const { exportParquet } = await import('#projectors/parquet/export.ts');
      const exported = await exportParquet({
        pool: ledger.pool,
        projectors: model,
        folder,
        snapshot,
        tenant,
      });
      output.answer({ folder, ...exported }, () =>
        [
          table(
            ['FILE', 'ROWS', 'BYTES'],
            exported.files.map(({ file, rows, bytes }) => [file, figure(rows), figure(bytes)]),
          ),
          ...exported.position.map(
            (place) => `${place.tenant} as of fact ${figure(place.as_of_seq)}, ${place.as_of}`,
          ),
        ].join('\n'),
      );
      return 'ok';
    },
  );

export const viewCommands = (run: Run): Command =>
  group('views', 'read models as of an earlier place, and the past of a row', [
    at(run),
    list(run),
    drop(run),
    history(run),
    exportFiles(run),
  ]);
