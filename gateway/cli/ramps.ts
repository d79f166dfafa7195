// prov-ledger ramps ...: a flag raised step by step on what is observed: start and stop it, tell it what was seen, and see
// where it stands. What it does by itself the ramps saga does, in a running service.
import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import type { FlagCommand, RampPolicy, Reading } from '#commands/flags.ts';
import { type Observation, type Ramp, ramps } from '#sagas/flags.ts';
import { type Instant, instantText, streamName, type TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import type { StreamStore } from '#streams/stream.ts';
import type { ByHand, OfTenant } from './by-hand.ts';
import { aCount, aMoment, aTenant, group, headOf, ledgerLeaf, parsedBy, type Run } from './command.ts';
import { CliError } from './exit.ts';
import { acknowledge, byHand, move, readFlag, sendFlag, tenantRequired } from './flags.ts';
import { figure, pairs, visible } from './output.ts';
import { collectCommand } from './ramps-collect.ts';

const aShareList = parsedBy((raw: string): readonly number[] => {
  const steps = raw.split(',').map((each) => Number(each.trim()));
  if (!/^[\d, ]+$/.test(raw) || steps.some((each) => each < 1 || each > 100))
    throw new Error('use whole numbers from 1 to 100, ascending, for example 10,50,100');
  return steps;
});

const aPpm = parsedBy((raw: string): number => {
  if (!/^\d{1,7}$/.test(raw) || Number(raw) > 1_000_000)
    throw new Error('use a whole number from 0 to 1000000: errors in a million requests');
  return Number(raw);
});

const canaries = (raw: string, before: readonly TenantId[] = []): readonly TenantId[] => [
  ...before,
  aTenant(raw),
];

const DAYS_365 = 31_536_000;

interface StartOptions extends OfTenant, Omit<RampPolicy, 'canaries' | 'dryRun'> {
  readonly by: string;
  readonly canary?: readonly TenantId[];
  readonly dryRun?: boolean;
}

const startOptions = (command: Command): Command =>
  tenantRequired(command)
    .requiredOption('--by <name>', 'who decides it; stands in the ledger for good')
    .option(
      '--steps <shares>',
      'in a hundred subjects, how many get it, step by step',
      aShareList,
      [10, 50, 100],
    )
    .option('--hold-seconds <seconds>', 'how long each step is observed', aCount(DAYS_365), 3_600)
    .option('--age-max-seconds <seconds>', 'how old the newest observation may be', aCount(DAYS_365), 300)
    .option('--samples-min <requests>', 'requests it needs, with and without', aCount(999_999_999), 1_000)
    .option('--error-ppm-max <ppm>', 'errors in a million requests, at most', aPpm, 10_000)
    .option('--added-ppm-max <ppm>', 'so many more than without the feature freeze', aPpm, 1_000)
    .option('--canary <tenant>', 'who has it already and must do well; may be given more than once', canaries)
    .option('--dry-run', 'say what it would do, and change nothing');

const start = (run: Run): Command =>
  ledgerLeaf<StartOptions>(
    run,
    {
      usage: 'start <feature>',
      summary: 'raise a flag step by step, on what is observed',
      examples: [
        'ramps start new-checkout --tenant acme --by Ada --dry-run',
        'ramps start new-checkout --tenant acme --by Ada --steps 1,10,50,100 --hold-seconds 86400 --canary globex',
      ],
      build: startOptions,
    },
    async (context, options, [feature = '']) => {
      const { tenant, by, steps, canary = [], dryRun = false } = options;
      const { holdSeconds, ageMaxSeconds, samplesMin, errorPpmMax, addedPpmMax } = options;
      const rampId = randomUUID();
      const policy = { steps, holdSeconds, ageMaxSeconds, samplesMin, errorPpmMax, addedPpmMax };
      const command = { type: 'StartRamp', feature, rampId, ...policy, canaries: canary, dryRun } as const;
      await sendFlag(context, { tenant, by }, command);
      context.output.answer(
        { tenant, feature, ramp_id: rampId, ...policy, canaries: canary, dry_run: dryRun },
        () =>
          dryRun
            ? `a dry run of ${visible(feature)} to ${steps.join(', ')} % has begun: it changes nothing`
            : `the ramp of ${visible(feature)} to ${steps.join(', ')} % has begun; a running service takes its steps`,
      );
      return 'ok';
    },
  );

interface ObserveOptions extends OfTenant {
  readonly of?: TenantId;
  readonly from: string;
  readonly to: string;
  readonly exposedRequests?: string;
  readonly exposedErrors?: string;
  readonly controlRequests?: string;
  readonly controlErrors?: string;
  readonly source: string;
}

const observe = (run: Run): Command =>
  ledgerLeaf<ObserveOptions>(
    run,
    {
      usage: 'observe <feature>',
      summary: 'tell a ramp what was seen: requests that failed, with the feature and without',
      examples: [
        'ramps observe new-checkout --tenant acme --from 2026-11-21T09:00:00Z --to 2026-11-21T09:01:00Z --exposed-requests 2000 --exposed-errors 3 --control-requests 18000 --control-errors 20',
      ],
      build: (command) =>
        tenantRequired(command)
          .option('--of <tenant>', 'whose requests: a canary; the tenant itself unless given', aTenant)
          .requiredOption('--from <time>', 'begin of the window, RFC 3339', aMoment)
          .requiredOption('--to <time>', 'end of the window', aMoment)
          .option('--exposed-requests <count>', 'requests with the feature, as the source says it, also NaN')
          .option(
            '--exposed-errors <count>',
            'those that failed; a count that is left out is an empty series',
          )
          .option('--control-requests <count>', 'requests without the feature')
          .option('--control-errors <count>', 'those that failed')
          .option('--source <text>', 'where the figures are from', 'prov-ledger ramps observe'),
    },
    async (context, options, [feature = '']) => {
      const { tenant, of = tenant, from: windowFrom, to: windowTo, source } = options;
      const exposed = readingOf(options.exposedRequests, options.exposedErrors);
      const control = readingOf(options.controlRequests, options.controlErrors);
      const command = {
        type: 'ObserveRamp',
        feature,
        of,
        windowFrom,
        windowTo,
        exposed,
        control,
        source,
      } as const;
      await sendFlag(context, { tenant, by: source }, command);
      context.output.answer({ tenant, feature, of, ok: true }, () => `${visible(feature)}: recorded`);
      return 'ok';
    },
  );

const readingOf = (requests: string | undefined, errors: string | undefined): Reading => ({
  ...(requests !== undefined && { requests }),
  ...(errors !== undefined && { errors }),
});

/** The ramp that is running, as the saga has it from the facts of the flag. Throws `StreamError`. */
const readRamp = async (
  store: Pick<StreamStore, 'readStream'>,
  tenant: TenantId,
  feature: string,
): Promise<Ramp | undefined> => {
  let state = ramps.initial;
  for (const fact of await store.readStream(tenant, streamName('flags', feature)))
    if ((ramps.handles as readonly string[]).includes(fact.type))
      state = ramps.fold(state, decodeFact(fact) as never);
  return state.ramps[0];
};

const status = (run: Run): Command =>
  ledgerLeaf<OfTenant>(
    run,
    {
      usage: 'status <feature>',
      summary: 'where a ramp stands, what it was told, and what it waits for',
      examples: ['ramps status new-checkout --tenant acme'],
      build: tenantRequired,
    },
    async ({ ledger, output }, { tenant }, [feature = '']) => {
      await headOf(ledger, tenant);
      const flag = await readFlag(ledger.store, tenant, feature);
      if (flag.standing === 'absent')
        throw new CliError('refused', 'no-such-flag', `${tenant} has no flag ${feature}; set it first`);
      const ramp = await readRamp(ledger.store, tenant, feature);
      const { pct, frozen = null } = flag;
      const dryRun = flag.ramp?.dryRun ?? false;
      output.answer({ tenant, feature, pct, frozen, ramp: ramp ? { ...ramp, dryRun } : null }, () =>
        [
          `${visible(feature)} is at ${pct} %${frozen ? `, frozen: ${frozen}` : ''}`,
          ramp ? rampText(ramp, dryRun) : 'no ramp is running',
        ].join('\n'),
      );
      return 'ok';
    },
  );

const rampText = (ramp: Ramp, dryRun: boolean): string =>
  pairs([
    [dryRun ? 'dry run' : 'ramp', ramp.id],
    ['steps', `${ramp.steps.join(', ')} %${dryRun ? `, would be at ${ramp.pct} %` : ''}`],
    ['held since', instantText(ramp.since)],
    [
      'looks at',
      ramp.frozen
        ? 'nothing, until the freeze is acknowledged'
        : instantText((ramp.since + ramp.holdMs) as Instant),
    ],
    ...(ramp.observed.length === 0 ? [['observed', 'nothing'] as const] : ramp.observed.map(observedPair)),
  ]);

const observedPair = ({ of, to, rates, unusable }: Observation) => {
  const said = rates
    ? `${figure(rates.exposed.errors)} of ${figure(rates.exposed.requests)} failed with it, ${figure(rates.control.errors)} of ${figure(rates.control.requests)} without`
    : `nothing can be told: ${unusable}`;
  return [`observed ${of}`, `${said}, up to ${instantText(to)}`] as const;
};

const stop = (run: Run): Command =>
  move(run, {
    usage: 'stop <feature>',
    summary: 'end a ramp; the flag stays where it is',
    example: 'ramps stop new-checkout',
    build: byHand,
    command: (feature: string, { reason }: ByHand): FlagCommand => ({ type: 'StopRamp', feature, reason }),
    said: (feature) => `the ramp of ${feature} has ended; the flag stays where it is`,
  });

export const rampCommands = (run: Run): Command =>
  group('ramps', 'flags raised step by step on what is observed', [
    start(run),
    status(run),
    observe(run),
    collectCommand(run),
    acknowledge(run, { usage: 'ack <feature>', example: 'ramps ack new-checkout' }),
    stop(run),
  ]);
