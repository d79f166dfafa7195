// Which tokens let somebody in since the last write: one entry a token, however often, written beside the requests. A
// process that is killed forgets half a minute of it.
import type { Instant, TenantId } from '#schemas/ids.ts';
import type { TokenUse } from '#streams/postgres/token-uses.ts';

export interface TokenUses extends AsyncDisposable {
  readonly note: (tenant: TenantId, tokenId: string, at: Instant) => void;
  /** Writes what was noted. What could not be written is kept for the next time. */
  readonly flush: () => Promise<void>;
}

export interface TokenUsesOptions {
  readonly write: (uses: readonly TokenUse[]) => Promise<void>;
  readonly onFault: (error: unknown) => void;
  /** Between two writes; 30,000 unless told. */
  readonly everyMs?: number;
}

/** Further tokens are noted after the next write: the list of uses may be late, memory may not grow. */
const TOKENS_MAX = 10_000;

/** Disposing writes once more. */
export const tokenUses = ({ write, onFault, everyMs = 30_000 }: TokenUsesOptions): TokenUses => {
  let noted = new Map<string, TokenUse>();
  const keep = (key: string, use: TokenUse): void => {
    if (noted.size < TOKENS_MAX || noted.has(key)) noted.set(key, use);
  };
  const flush = async (): Promise<void> => {
    if (noted.size === 0) return;
    const writing = noted;
    noted = new Map();
    try {
      await write([...writing.values()]);
    } catch (error) {
      for (const [key, use] of writing) if (!noted.has(key)) keep(key, use);
      onFault(error);
    }
  };
  const timer = setInterval(() => void flush(), everyMs);
  timer.unref();
  return {
    note: (tenant, tokenId, at) => keep(`${tenant}.${tokenId}`, { tenant, tokenId, at }),
    flush,
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      await flush();
    },
  };
};
