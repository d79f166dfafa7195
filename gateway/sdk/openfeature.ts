// `@prov-ledger/sdk/openfeature`: a provider for OpenFeature's server SDK. It keeps the tenant's flags at hand and asks now
// and then whether one has moved; whom a flag is about never leaves the process. While the service cannot be reached
// it goes on by the last flags it knows, and says so.
import {
  ErrorCode,
  type EvaluationContext,
  type FlagMetadata,
  OpenFeatureEventEmitter,
  type Provider,
  ProviderEvents,
  ProviderFatalError,
  type ResolutionDetails,
  StandardResolutionReasons,
} from '@openfeature/server-sdk';
import { ClientError } from './errors.ts';
import { flagBucket, isExposed } from './flag-bucket.ts';
import { type TransportOptions, transport } from './transport.ts';
import type { FlagEntry, FlagSpec } from './types.ts';

export type { FlagEntry, FlagSpec } from './types.ts';

export interface LedgerFlagsOptions extends TransportOptions {
  /** How often to ask whether a flag has moved, in milliseconds: 5,000 unless given. */
  readonly pollMs?: number;
  /**
   * How old the service's last word may be, in milliseconds; older, and every evaluation fails, which gives the default
   * in the code. The last flags are kept without end unless given.
   */
  readonly leaseMs?: number;
  /** Milliseconds that never go back; the process's unless given. */
  readonly steadyClock?: () => number;
}

interface Known {
  readonly spec: FlagSpec;
  readonly etag: string | undefined;
  /** When the service last said that it is so. */
  readonly heardAt: number;
}

/** Rejects to begin with a token that is not taken (PROVIDER_FATAL); a service that is away is asked again. */
export const ledgerFlags = (options: LedgerFlagsOptions): Provider => {
  const { leaseMs = Number.POSITIVE_INFINITY } = options;
  const kept = keepFlags(options);
  const evaluate = <T>(key: string, fallback: T, of: (entry: FlagEntry, spec: FlagSpec) => Verdict<T>) => {
    const failed = (errorCode: ErrorCode, errorMessage: string): ResolutionDetails<T> => ({
      value: fallback,
      reason: StandardResolutionReasons.ERROR,
      errorCode,
      errorMessage,
    });
    const known = kept.known();
    if (!known) return failed(ErrorCode.PROVIDER_NOT_READY, 'no flags have been fetched yet');
    if (known.ageMs > leaseMs)
      return failed(ErrorCode.GENERAL, `nothing was heard of the service for more than ${leaseMs} ms`);
    const { spec, stale } = known;
    const entry = Object.hasOwn(spec.flags, key) ? spec.flags[key] : undefined;
    if (!entry) return failed(ErrorCode.FLAG_NOT_FOUND, `there is no flag ${key} in force`);
    const verdict = of(entry, spec);
    if ('errorCode' in verdict) return failed(verdict.errorCode, verdict.errorMessage);
    const { value, reason, variant, bucket } = verdict;
    const flagMetadata: FlagMetadata = { ...entry, ...(bucket !== undefined && { bucket }) };
    return { value, variant, reason: stale ? StandardResolutionReasons.STALE : reason, flagMetadata };
  };
  const mismatch = <T>(key: string, fallback: T): Promise<ResolutionDetails<T>> =>
    Promise.resolve(
      evaluate(key, fallback, () => ({
        errorCode: ErrorCode.TYPE_MISMATCH,
        errorMessage: `${key} is a boolean flag`,
      })),
    );
  return {
    metadata: { name: 'prov-ledger' },
    runsOn: 'server',
    events: kept.events,
    initialize: kept.open,
    onClose: kept.close,
    resolveBooleanEvaluation: (key, fallback, context) =>
      Promise.resolve(
        evaluate(key, fallback, (entry, { tenant }) => judge(entry, { tenant, feature: key, context })),
      ),
    resolveStringEvaluation: mismatch,
    resolveNumberEvaluation: mismatch,
    resolveObjectEvaluation: mismatch,
  };
};

/** The flags at hand, asked for again and again. */
const keepFlags = (options: LedgerFlagsOptions) => {
  const { pollMs = 5_000, steadyClock = () => performance.now() } = options;
  const via = transport(options);
  const events = new OpenFeatureEventEmitter();
  const ending = new AbortController();
  let known: Known | undefined;
  let stale = false;
  let timer: NodeJS.Timeout | undefined;

  /** Answers with the flags that moved. Throws `ClientError`. */
  const ask = async (): Promise<readonly string[]> => {
    // Counted from before the question, so that a slow answer makes nothing look newer than it is.
    const heardAt = steadyClock();
    const outcome = await via.getChanged('/v1/flags', known?.etag, { signal: ending.signal });
    if (outcome.kind === 'final' || outcome.kind === 'again') throw outcome.error;
    const before = known;
    if (outcome.kind === 'found') known = { spec: specOf(outcome.document), etag: outcome.etag, heardAt };
    else if (before) known = { ...before, heardAt };
    return known ? moved(before?.spec, known.spec) : [];
  };
  const poll = async (): Promise<void> => {
    try {
      const first = known === undefined;
      const flagsChanged = await ask();
      if (stale || first) events.emit(ProviderEvents.Ready);
      stale = false;
      if (flagsChanged.length > 0 && !first)
        events.emit(ProviderEvents.ConfigurationChanged, { flagsChanged: [...flagsChanged] });
    } catch (error) {
      if (!stale && known && !ending.signal.aborted)
        events.emit(ProviderEvents.Stale, { message: (error as Error).message });
      stale = known !== undefined;
    }
    next();
  };
  const next = (): void => {
    if (!ending.signal.aborted) timer = setTimeout(() => void poll(), pollMs).unref();
  };

  return {
    events,
    known: () => known && { spec: known.spec, ageMs: steadyClock() - known.heardAt, stale },
    open: async (): Promise<void> => {
      try {
        await ask();
      } catch (error) {
        const { code, message } = error as ClientError;
        if (code === 'unauthorized' || code === 'protocol') throw new ProviderFatalError(message);
        throw error;
      } finally {
        next();
      }
    },
    close: (): Promise<void> => {
      ending.abort();
      clearTimeout(timer);
      return Promise.resolve();
    },
  };
};

type Verdict<T> =
  | {
      readonly value: T;
      readonly reason: string;
      readonly variant: string;
      readonly bucket?: number;
    }
  | { readonly errorCode: ErrorCode; readonly errorMessage: string };

interface Asked {
  readonly tenant: string;
  readonly feature: string;
  readonly context: EvaluationContext;
}

const judge = ({ pct }: FlagEntry, { tenant, feature, context }: Asked): Verdict<boolean> => {
  const said = (value: boolean, reason: string) => ({ value, reason, variant: value ? 'on' : 'off' });
  if (pct === 0 || pct === 100) return said(pct === 100, StandardResolutionReasons.STATIC);
  const { targetingKey: subject } = context;
  if (subject === undefined || subject === '')
    return {
      errorCode: ErrorCode.TARGETING_KEY_MISSING,
      errorMessage: `${feature} is at ${pct} %: say in the targeting key whom it is about`,
    };
  const bucket = flagBucket({ tenant, feature, subject });
  return { ...said(isExposed(bucket, pct), StandardResolutionReasons.SPLIT), bucket };
};

const specOf = (document: unknown): FlagSpec => {
  const spec = document as FlagSpec;
  if (spec?.format !== 'prov-ledger/flags@1' || typeof spec.flags !== 'object')
    throw new ClientError('protocol', 'what answered does not know flags: check the URL');
  return spec;
};

const moved = (before: FlagSpec | undefined, after: FlagSpec): readonly string[] =>
  Object.keys({ ...before?.flags, ...after.flags }).filter(
    (feature) => before?.flags[feature]?.seq !== after.flags[feature]?.seq,
  );
