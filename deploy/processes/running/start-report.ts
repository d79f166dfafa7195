// The start-up report: one line that says what runs, on what, and as what. For whoever reads the log after the fact.
import type { ServeOptions } from '#gateway/cli/world.ts';
import type { Configuration } from '../../configuration.ts';
import type { LogFields } from '../../telemetry/logs.ts';
import type { WiredLedger } from '../ledger/wire.ts';
import { version } from '../version.ts';
import type { Observed } from './observed.ts';

export interface ReportParts {
  readonly configuration: Configuration;
  readonly options: ServeOptions;
  readonly ledger: WiredLedger;
  readonly observed: Observed;
}

/** Nothing secret: of the database where it is, not how to get in. */
export const startReport = (parts: ReportParts): LogFields => {
  const { configuration, options, ledger, observed } = parts;
  const { dataDir, headsFile, poolSize, lameDuckSeconds, drainSeconds, logLevel, tlsCertFile } =
    configuration;
  return {
    version,
    node: process.versions.node,
    pid: process.pid,
    ledger: ledger.store.ledgerId,
    kid: ledger.keys.signer.kid,
    keys: ledger.keys.keys.length,
    database: databaseName(configuration),
    dataDir,
    poolSize,
    readModels: options.withoutProjectors !== true,
    tls: tlsCertFile !== undefined,
    headsFile: headsFile ?? 'none',
    headsLost: observed.heads?.lost().length ?? 0,
    lameDuckSeconds,
    drainSeconds,
    logLevel,
  };
};

const databaseName = ({ databaseUrl }: Configuration): string => {
  if (databaseUrl === undefined) return 'embedded';
  const { hostname, port, pathname } = new URL(databaseUrl);
  return `${hostname}${port === '' ? '' : `:${port}`}${pathname}`;
};
