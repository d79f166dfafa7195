// prov-ledger ramps collect ...: what a Prometheus says of one window, told to a ramp as it says it. Run by a timer, once a
// window. Where there is no answer nothing is told, and the ramp freezes by itself when its figures grow old.
import type { Command } from 'commander';
import type { Reading } from '#commands/flags.ts';
import type { Instant, TenantId } from '#schemas/ids.ts';
import { instantText } from '#schemas/ids.ts';
import { type AskSeries, PrometheusFault } from '../flags/prometheus.ts';
import type { OfTenant } from './by-hand.ts';
import { aCount, aTenant, ledgerLeaf, type Run } from './command.ts';
import { CliError } from './exit.ts';
import { sendFlag, tenantRequired } from './flags.ts';
import { visible } from './output.ts';

interface CollectOptions extends OfTenant {
  readonly of?: TenantId;
  readonly windowSeconds: number;
  readonly exposedRequests: string;
  readonly exposedErrors: string;
  readonly controlRequests: string;
  readonly controlErrors: string;
}

const DAY_SECONDS = 86_400;

const options = (command: Command): Command =>
  tenantRequired(command)
    .option('--of <tenant>', 'whose requests: a canary; the tenant itself unless given', aTenant)
    .option('--window-seconds <seconds>', 'how long the window is that ends now', aCount(DAY_SECONDS), 60)
    .requiredOption(
      '--exposed-requests <promql>',
      'requests with the feature; {window} stands for its length',
    )
    .requiredOption('--exposed-errors <promql>', 'those that failed')
    .requiredOption('--control-requests <promql>', 'requests without the feature')
    .requiredOption('--control-errors <promql>', 'those that failed');

export const collectCommand = (run: Run): Command =>
  ledgerLeaf<CollectOptions>(
    run,
    {
      usage: 'collect <feature>',
      summary: 'tell a ramp what Prometheus has seen in the window that ends now',
      examples: [
        `ramps collect new-checkout --tenant acme --exposed-requests 'sum(increase(http_requests_total{checkout="new"}[{window}]))' --exposed-errors 'sum(increase(http_requests_total{checkout="new",code=~"5.."}[{window}]))' --control-requests 'sum(increase(http_requests_total{checkout="old"}[{window}]))' --control-errors 'sum(increase(http_requests_total{checkout="old",code=~"5.."}[{window}]))'`,
      ],
      build: options,
    },
    async (context, given, [feature = '']) => {
      const { tenant, of = tenant, windowSeconds } = given;
      const { world, output } = context;
      const series = world.series();
      const to = world.clock();
      const ask = askerOf(series, { at: to, windowSeconds, signal: world.signal });
      const exposed = await readingOf(ask, given.exposedRequests, given.exposedErrors);
      const control = await readingOf(ask, given.controlRequests, given.controlErrors);
      const window = {
        windowFrom: instantText((to - windowSeconds * 1_000) as Instant),
        windowTo: instantText(to),
      };
      const source = 'prov-ledger ramps collect';
      const command = { type: 'ObserveRamp', feature, of, ...window, exposed, control, source } as const;
      await sendFlag(context, { tenant, by: source }, command);
      output.answer({ tenant, feature, of, exposed, control }, () =>
        [
          `${visible(feature)}: recorded`,
          `  with it: ${figures(exposed)}`,
          `  without: ${figures(control)}`,
        ].join('\n'),
      );
      return 'ok';
    },
  );

type Ask = (query: string) => Promise<string | undefined>;

const askerOf =
  (
    series: AskSeries,
    {
      at,
      windowSeconds,
      signal,
    }: { readonly at: number; readonly windowSeconds: number; readonly signal: AbortSignal },
  ): Ask =>
  async (query) => {
    try {
      return await series({ query: query.replaceAll('{window}', `${windowSeconds}s`), at, signal });
    } catch (error) {
      if (error instanceof PrometheusFault)
        throw new CliError('unavailable', 'no-figures', `${error.message}; nothing was recorded`, {
          cause: error,
        });
      throw error;
    }
  };

/** As the source writes it; an empty series is left out. */
const readingOf = async (ask: Ask, requests: string, errors: string): Promise<Reading> => {
  const [all, failed] = [await ask(requests), await ask(errors)];
  return { ...(all !== undefined && { requests: all }), ...(failed !== undefined && { errors: failed }) };
};

const figures = ({ requests, errors }: Reading): string =>
  `${visible(errors ?? 'nothing')} of ${visible(requests ?? 'nothing')} failed`;
