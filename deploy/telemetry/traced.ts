// What tracing puts around the ports; spans.ts makes it, and only where somebody collects spans (tracing.ts).
import type { CommitDone } from '#streams/postgres/commit.ts';
import type { StreamFeed, StreamStore } from '#streams/stream.ts';
import type { WatchedRequest } from './requests.ts';

export interface Tracing {
  /** A span for each append, child of the request's; the facts carry it on. */
  readonly store: <S extends StreamStore>(store: S) => S;
  /** A span for each commit, linked with the appends that are in it. Does not throw. */
  readonly committed: (commit: CommitDone) => void;
  /** A span for each batch that the read models take, linked with the appends of its facts. */
  readonly feed: (feed: StreamFeed) => StreamFeed;
  /** A span for the request; returns what ends it. */
  readonly request: (request: WatchedRequest) => (status: number) => void;
  /** Sends what is left. */
  readonly close: () => Promise<void>;
}
