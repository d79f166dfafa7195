// prov-ledger attest policy ...: how much divergence of a route is an alarm, and how much proof ends it. A change is a
// fact, with the name of who made it.
import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import { attestations } from '#commands/attestations.ts';
import { runCommand } from '#commands/run.ts';
import { drift } from '#sagas/attestations.ts';
import { instantText, streamName, type TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import type { StreamStore } from '#streams/stream.ts';
import { mappingOf } from './attested-route.ts';
import { type OfTenant, ofTenant } from './by-hand.ts';
import { aCount, group, headOf, ledgerLeaf, type Run } from './command.ts';
import { CliError } from './exit.ts';
import { pairs, visible } from './output.ts';

interface Policy {
  readonly divergentMin: number;
  readonly alarmAfter: number;
  readonly cleanAfter: number;
}

interface PolicyOnRecord extends Policy {
  /** Absent where nobody has changed it yet. */
  readonly changedBy?: string;
  readonly changedAt?: string;
}

const tenantRequired = ofTenant('whose route it is');

/** The last one on record, or what the drift saga begins with. */
const policyOf = async (
  store: Pick<StreamStore, 'readStream'>,
  tenant: TenantId,
  route: string,
): Promise<PolicyOnRecord> => {
  for (const recorded of (await store.readStream(tenant, streamName('attestations', route))).toReversed()) {
    const { type, data, actor, recordedAt } = decodeFact(recorded);
    if (type !== 'attestations.DriftPolicyChanged') continue;
    return {
      divergentMin: data.divergent_min,
      alarmAfter: data.alarm_after,
      cleanAfter: data.clean_after,
      changedBy: actor,
      changedAt: instantText(recordedAt),
    };
  }
  const { divergentMin, alarmAfter, cleanAfter } = drift.initial;
  return { divergentMin, alarmAfter, cleanAfter };
};

const textOf = (policy: PolicyOnRecord): string =>
  pairs([
    ['elements that differ, from', policy.divergentMin],
    ['alarm after attestations in a row', policy.alarmAfter],
    ['restored after clean ones in a row', policy.cleanAfter],
    ['changed', policy.changedBy === undefined ? 'never' : `${policy.changedAt} by ${policy.changedBy}`],
  ]);

const show = (run: Run): Command =>
  ledgerLeaf<OfTenant>(
    run,
    {
      usage: 'show <route>',
      summary: 'how strict the drift alarm of a route is, and who made it so',
      examples: ['attest policy show receipts --tenant acme'],
      build: tenantRequired,
    },
    async ({ ledger, output }, { tenant }, [name = '']) => {
      const { route } = mappingOf(name);
      await headOf(ledger, tenant);
      const policy = await policyOf(ledger.store, tenant, route);
      output.answer({ tenant, route, ...policy }, () => textOf(policy));
      return 'ok';
    },
  );

interface SetOptions extends OfTenant {
  readonly by: string;
  readonly divergentMin?: number;
  readonly alarmAfter?: number;
  readonly cleanAfter?: number;
}

const set = (run: Run): Command =>
  ledgerLeaf<SetOptions>(
    run,
    {
      usage: 'set <route>',
      summary: 'change it from the next attestation on; what is not given stays as it is',
      examples: ['attest policy set receipts --tenant acme --alarm-after 2 --by "Ada, on call"'],
      build: (command) =>
        tenantRequired(command)
          .requiredOption('--by <name>', 'who decides it; stands in the ledger for good')
          .option(
            '--divergent-min <elements>',
            'elements from which a difference counts',
            aCount(999_999_999),
          )
          .option('--alarm-after <attestations>', 'how many in a row raise the alarm', aCount(1_000))
          .option('--clean-after <attestations>', 'how many clean ones restore the path', aCount(1_000)),
    },
    async ({ ledger, output, world }, { tenant, by, ...wanted }, [name = '']) => {
      const { route } = mappingOf(name);
      await headOf(ledger, tenant);
      const { divergentMin, alarmAfter, cleanAfter } = await policyOf(ledger.store, tenant, route);
      const policy: Policy = {
        divergentMin: wanted.divergentMin ?? divergentMin,
        alarmAfter: wanted.alarmAfter ?? alarmAfter,
        cleanAfter: wanted.cleanAfter ?? cleanAfter,
      };
      const outcome = await runCommand(
        { store: ledger.store, decider: attestations },
        { type: 'ChangeDriftPolicy', route, ...policy },
        { tenant, actor: by, at: world.clock(), key: randomUUID() },
      );
      if (outcome.kind === 'refused')
        throw new CliError('usage', 'bad-arguments', visible(outcome.refusal.message));
      output.answer({ tenant, route, ...policy }, () =>
        textOf({ ...policy, changedBy: by, changedAt: 'now' }),
      );
      return 'ok';
    },
  );

export const policyCommands = (run: Run): Command =>
  group('policy', 'how strict the drift alarm of a route is', [show(run), set(run)]);
