// prov-ledger flags ...: who gets a feature. Whoever moves one says who they are and why: both stand in the ledger.
import type { Command } from 'commander';
import { type FlagCommand, type FlagRefusal, type FlagState, flags } from '#commands/flags.ts';
import { flagList, type ListedFlag } from '#projectors/postgres/flag-list.ts';
import { instantText, streamName, type TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import type { StreamStore } from '#streams/stream.ts';
import { BUCKETS, flagBucket } from '../sdk/flag-bucket.ts';
import { type ByHand, decidedBy, type OfTenant, ofTenant, sendByHand } from './by-hand.ts';
import { group, headOf, type LedgerContext, leaf, ledgerLeaf, parsedBy, type Run } from './command.ts';
import { CliError } from './exit.ts';
import { figure, table, visible } from './output.ts';

export const tenantRequired = ofTenant('whose flag it is');

export const byHand = decidedBy(tenantRequired);

const aShare = parsedBy((raw: string): number => {
  if (!/^\d{1,3}$/.test(raw) || Number(raw) > 100) throw new Error('use a whole number from 0 to 100');
  return Number(raw);
});

/** As the ledger has it now. Throws `StreamError`. */
export const readFlag = async (
  store: Pick<StreamStore, 'readStream'>,
  tenant: TenantId,
  feature: string,
): Promise<FlagState> => {
  let state = flags.initial;
  for (const fact of await store.readStream(tenant, streamName('flags', feature)))
    state = flags.evolve(state, decodeFact(fact) as never);
  return state;
};

const list = (run: Run): Command =>
  ledgerLeaf<OfTenant>(
    run,
    {
      usage: 'list',
      summary: 'the flags of a tenant, from the read model',
      examples: ['flags list --tenant acme', 'flags list --tenant acme --json'],
      build: tenantRequired,
    },
    async ({ ledger, output, world }, { tenant }) => {
      await headOf(ledger, tenant);
      await ledger.catchUp(world.signal);
      const listed = await flagList(ledger.pool)(tenant);
      output.answer({ tenant, flags: listed.map(documentOf) }, () => listText(tenant, listed));
      return 'ok';
    },
  );

const documentOf = ({ movedAt, ...flag }: ListedFlag) => ({ ...flag, movedAt: instantText(movedAt) });

const listText = (tenant: TenantId, listed: readonly ListedFlag[]): string =>
  listed.length === 0
    ? `${tenant} has no flags; make one with \`prov-ledger flags set FEATURE --pct 0\``
    : table(
        ['FEATURE', 'PCT', 'STATUS', 'RAMP', 'MOVED BY', 'REASON'],
        listed.map(({ feature, pct, status, freezeCause, rampId, dryRun, movedBy, reason }) => [
          feature,
          String(pct),
          freezeCause === null ? status : `${status}: ${freezeCause}`,
          rampId === null ? '-' : dryRun ? 'dry run' : 'running',
          movedBy,
          reason,
        ]),
      );

const show = (run: Run): Command =>
  ledgerLeaf<OfTenant>(
    run,
    {
      usage: 'show <feature>',
      summary: 'how many get a feature, and whether it is frozen',
      examples: ['flags show new-checkout --tenant acme'],
      build: tenantRequired,
    },
    async ({ ledger, output }, { tenant }, [feature = '']) => {
      await headOf(ledger, tenant);
      const state = await readFlag(ledger.store, tenant, feature);
      if (state.standing === 'absent')
        throw new CliError('refused', 'no-such-flag', `${tenant} has no flag ${feature}; set it first`);
      output.answer({ tenant, feature, ...state }, () => stateText(feature, state));
      return 'ok';
    },
  );

const stateText = (feature: string, { standing, pct, frozen, ramp }: FlagState): string =>
  standing === 'retired'
    ? `${feature} was retired`
    : [
        `${feature} is at ${pct} %`,
        ...(frozen
          ? [
              `frozen: ${frozen}`,
              '  -> look into the cause, then `prov-ledger flags acknowledge` (docs/operations/ramps.md)',
            ]
          : []),
        ...(ramp ? [`${ramp.dryRun ? 'a dry run' : 'a ramp'} to ${ramp.steps.join(', ')} % is running`] : []),
      ].join('\n');

const bucket = (run: Run): Command =>
  leaf<OfTenant & { readonly pct?: number }>(
    run,
    {
      usage: 'bucket <feature> <subject>',
      summary: 'which of the ten thousand buckets a subject is in, which never changes',
      examples: ['flags bucket new-checkout user-4711 --tenant acme'],
      build: tenantRequired,
    },
    async ({ output }, { tenant }, [feature = '', subject = '']) => {
      const found = flagBucket({ tenant, feature, subject });
      const from = Math.floor((found * 100) / BUCKETS) + 1;
      output.answer(
        { tenant, feature, subject, bucket: found, from_pct: from },
        () => `bucket ${figure(found)} of ${figure(BUCKETS)}: has it from ${from} % on`,
      );
      return 'ok';
    },
  );

/** Sends a person's command. Throws `CliError` where it is refused. */
export const sendFlag = (
  context: LedgerContext,
  who: Pick<ByHand, 'tenant' | 'by'>,
  command: FlagCommand,
): Promise<void> => sendByHand(context, who, { decider: flags, command, codes: CODES });

const CODES: { readonly [name in FlagRefusal['refusal']]: string } = {
  FlagUnknown: 'no-such-flag',
  FlagRetired: 'flag-retired',
  FlagFrozen: 'flag-frozen',
  FlagNotFrozen: 'flag-not-frozen',
  NotAPerson: 'not-a-person',
  RampRunning: 'ramp-running',
  NoRampRunning: 'no-ramp-running',
  RampMovedOn: 'ramp-moved-on',
  StepsNotAscending: 'steps-not-ascending',
  NotObserved: 'not-observed',
  WindowUnsound: 'window-unsound',
};

interface Move {
  readonly usage: string;
  readonly summary: string;
  readonly example: string;
  readonly command: (feature: string, options: ByHand) => FlagCommand;
  readonly said: (feature: string, options: ByHand) => string;
  readonly build?: (command: Command) => Command;
}

export const move = (run: Run, { usage, summary, example, command, said, build = byHand }: Move): Command =>
  ledgerLeaf<ByHand>(
    run,
    {
      usage,
      summary,
      examples: [`${example} --tenant acme --by "Ada, on call" --reason "see ticket 4711"`],
      build,
    },
    async (context, options, [feature = '']) => {
      await sendFlag(context, options, command(feature, options));
      context.output.answer({ tenant: options.tenant, feature, ok: true }, () =>
        said(visible(feature), options),
      );
      return 'ok';
    },
  );

const set = (run: Run): Command =>
  move(run, {
    usage: 'set <feature>',
    summary: 'make a flag, or let more or fewer in by hand',
    example: 'flags set new-checkout --pct 10',
    build: (command) =>
      byHand(command)
        .requiredOption('--pct <share>', 'in a hundred subjects, how many get it', aShare)
        .option('--description <text>', 'what the feature is, for people'),
    command: (feature, { reason, ...options }) => ({
      type: 'SetFlag',
      feature,
      reason,
      pct: options['pct'] as number,
      ...(typeof options['description'] === 'string' && { description: options['description'] }),
    }),
    said: (feature, options) => `${feature} is at ${String(options['pct'])} %`,
  });

const freeze = (run: Run): Command =>
  move(run, {
    usage: 'freeze <feature>',
    summary: 'let nobody else in, until somebody acknowledges that',
    example: 'flags freeze new-checkout',
    command: (feature, { reason }) => ({ type: 'FreezeFlag', feature, cause: 'ordered', reason }),
    said: (feature) => `${feature} is frozen: who has it keeps it, nobody else gets it`,
  });

/** Under either name: that of the flag's own, or the short one of a ramp's. */
export const acknowledge = (run: Run, named: Pick<Move, 'usage' | 'example'>): Command =>
  move(run, {
    ...named,
    summary: 'end a freeze, having looked into its cause',
    command: (feature, { reason }) => ({ type: 'AcknowledgeFreeze', feature, reason }),
    said: (feature) => `${feature} is not frozen any more`,
  });

const retire = (run: Run): Command =>
  move(run, {
    usage: 'retire <feature>',
    summary: 'take a flag out of use, for good',
    example: 'flags retire new-checkout',
    command: (feature, { reason }) => ({ type: 'RetireFlag', feature, reason }),
    said: (feature) => `${feature} is retired: services fall back to the default in their code`,
  });

export const flagCommands = (run: Run): Command =>
  group('flags', 'who gets a feature, in shares of those who ask', [
    list(run),
    show(run),
    bucket(run),
    set(run),
    freeze(run),
    acknowledge(run, { usage: 'acknowledge <feature>', example: 'flags acknowledge new-checkout' }),
    retire(run),
  ]);
