// What a service asks of its ledger by itself, apart from requests: how far the read models are, how much there is, and
// whether everything is still there that was.
import type { Figure } from '#gateway/http/metrics.ts';
import { projectors } from '#projectors/index.ts';
import { type FlagShare, flagShares } from '#projectors/postgres/flag-list.ts';
import { type ProjectionLag, projectionLag } from '#projectors/postgres/lag.ts';
import { allSagas } from '#sagas/index.ts';
import { type SagaLag, sagaLag } from '#sagas/postgres/lag.ts';
import { type LedgerTotals, ledgerTotals } from '#streams/postgres/totals.ts';
import type { Configuration } from '../../configuration.ts';
import { FLAGS_NAMED_MAX } from '../../telemetry/flag-instruments.ts';
import type { Log } from '../../telemetry/logs.ts';
import { sampled } from '../../telemetry/sampled.ts';
import { sampledServers, serverFigures } from '../../telemetry/server-figures.ts';
import { type HeadsKeeper, keepHeads } from '../keepers/heads-keeper.ts';
import type { WiredLedger } from '../ledger/wire.ts';

export interface Observed extends AsyncDisposable {
  readonly lag: () => readonly ProjectionLag[];
  readonly sagaLag: () => readonly SagaLag[];
  /** Those that moved last. */
  readonly flags: () => readonly FlagShare[];
  readonly totals: () => LedgerTotals | undefined;
  /** Of the servers of a ledger on several. */
  readonly figures: readonly Figure[];
  /** Absent where no heads file is configured. */
  readonly heads: HeadsKeeper | undefined;
}

export interface ObserveOptions {
  readonly configuration: Pick<Configuration, 'headsFile'>;
  readonly ledger: WiredLedger;
  readonly log: Log;
}

const ASK_EVERY_MS = 5_000;

/** Resolves when the heads file, if there is one, was compared. Throws `CliError` when it cannot be believed. */
export const observe = async ({ configuration, ledger, log }: ObserveOptions): Promise<Observed> => {
  const { headsFile: file } = configuration;
  const { store, keys, pool, databases } = ledger;
  const { signer, jwks } = keys;
  await using opening = new AsyncDisposableStack();
  const heads =
    file === undefined ? undefined : opening.use(await keepHeads({ file, store, signer, jwks, log }));
  const lag = opening.use(sampled(() => projectionLag(databases, projectors), ASK_EVERY_MS));
  const sagas = opening.use(sampled(() => sagaLag(databases, allSagas), ASK_EVERY_MS));
  const flags = opening.use(sampled(() => flagShares(pool, FLAGS_NAMED_MAX), ASK_EVERY_MS));
  const totals = opening.use(sampled(() => ledgerTotals(databases), ASK_EVERY_MS));
  const servers = opening.use(sampledServers(databases));
  const open = opening.move();
  return {
    lag: () => lag.latest() ?? [],
    sagaLag: () => sagas.latest() ?? [],
    flags: () => flags.latest() ?? [],
    totals: () => totals.latest(),
    figures: serverFigures(servers.latest),
    heads,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
};
