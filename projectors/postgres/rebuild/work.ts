// What the parts of one rebuild share: what they were asked for, what they hold, and when they stop.
import { RebuildError } from '#projectors/rebuild/errors.ts';
import type { AtPoint } from '#projectors/rebuild/points.ts';
import type { Checkpoint } from '#projectors/sink.ts';
import type { Fact, Recorded } from '#schemas/event.ts';
import type { Seq, Sha256, TenantId } from '#schemas/ids.ts';
import type { LedgerDatabases } from '#streams/postgres/databases.ts';
import type { StreamFeed, StreamStore } from '#streams/stream.ts';
import { readCheckpoints } from '../checkpoints.ts';
import type { Skips } from '../sink.ts';
import { type Claim, type ClaimOptions, lostLease } from './claim.ts';

export type Phase = 'filling' | 'indexing' | 'proving' | 'recording' | 'catching up' | 'switching';

export interface RebuildProgress {
  readonly phase: Phase;
  /** Facts gone through in this phase, of so many. */
  readonly facts: number;
  readonly total: number;
}

export interface TenantDigest {
  readonly rows: number;
  /** As in `projectors/digest.ts`. */
  readonly digest: string;
}

/** One tenant's rows at one place of its chain, found equal to those of the replay. */
export interface TenantProof extends TenantDigest {
  readonly tenant: TenantId;
  readonly seq: Seq;
  readonly hash: Sha256;
}

/** That a build is equal to an independent replay: what goes into the ledger before the switch. */
export interface RebuildProved {
  readonly projection: string;
  readonly version: number;
  readonly build: number;
  readonly sourceDigest: string;
  readonly proofs: readonly TenantProof[];
}

export interface RebuildOptions extends Omit<ClaimOptions, 'digest'> {
  /** Of all of the ledger; `pool`, which has the read models, unless told. */
  readonly databases?: LedgerDatabases | undefined;
  readonly store: Pick<StreamStore, 'read'>;
  readonly feed: StreamFeed;
  /** Records the proofs in the ledger, each in its tenant's chain; the switch waits for it. */
  readonly attest: (proved: RebuildProved) => Promise<void>;
  /** None unless told. */
  readonly skips?: Skips | undefined;
  readonly decode?: ((recorded: Recorded) => Fact) | undefined;
  /** Ends the rebuild; what it did is kept. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: RebuildProgress) => void) | undefined;
  readonly at?: AtPoint | undefined;
  /** The replay goes beside the fill, in a thread, from so many facts on; 20,000 unless told. */
  readonly besideFrom?: number | undefined;
  readonly maxRows?: number | undefined;
}

/** What every part of one rebuild knows. */
export interface Work extends Omit<RebuildOptions, 'signal' | 'onProgress'> {
  readonly digest: string;
  readonly folder: URL;
  readonly claim: Claim;
  readonly decode: (recorded: Recorded) => Fact;
  readonly skips: Skips;
  readonly signal: AbortSignal;
  readonly at: AtPoint;
  readonly table: string;
  readonly progress: (phase: Phase, facts: number, total: number) => void;
}

export const stopIfTold = ({ signal, claim, projector }: Work): void => {
  if (claim.lost.aborted) throw lostLease(projector);
  if (signal.aborted)
    throw new RebuildError(
      'interrupted',
      `the rebuild of ${projector.name} was ended; what it did is kept, and the next one goes on with it`,
    );
};

export const ownCheckpoints = ({ pool, projector, claim }: Work): Promise<readonly Checkpoint[]> =>
  readCheckpoints(pool, projector, claim, undefined);
