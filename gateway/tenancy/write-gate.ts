// The write gate: facts of a route whose write path was taken back do not go in. Whoever read the gate while it was open
// and appends after it was closed is found out by the store: the append names the gate's last move, and is refused when
// there was another one since. Until a tenant's gate moves for the first time no append names anything, which costs
// nothing; that first closing is in force when the last answer about it is a second old.
import { type GateState, gates } from '#commands/gates.ts';
import { type StreamRevision, streamName, type TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import type { GateStanding, Gates } from '#streams/postgres/transport/gates.ts';
import type { AppendRequest, StreamStore } from '#streams/stream.ts';

/** Nothing was stored. The same request goes in once the write path was restored. */
export class WritePathClosed extends Error {
  override readonly name = 'WritePathClosed';
  readonly route: string;
  readonly epoch: number;
  constructor(route: string, { epoch, reason }: Pick<GateState, 'epoch' | 'reason'>) {
    super(`the write path of ${route} is closed since epoch ${epoch}: ${reason}`);
    this.route = route;
    this.epoch = epoch;
  }
}

export interface Gate extends GateState {
  readonly revision: StreamRevision;
}

/** As the ledger has it now. Throws `StreamError`. */
export const readGate = async (
  store: Pick<StreamStore, 'readStream'>,
  tenant: TenantId,
  route: string,
): Promise<Gate> => {
  const facts = await store.readStream(tenant, streamName('gates', route));
  let state = gates.initial;
  for (const fact of facts) state = gates.evolve(state, decodeFact(fact) as never);
  return { ...state, revision: (facts.at(-1)?.seq ?? 0) as number as StreamRevision };
};

/** Throws `WritePathClosed`. For writers that go past the store's append. */
export const assertOpen = async (
  store: Pick<StreamStore, 'readStream'>,
  tenant: TenantId,
  route: string,
): Promise<void> => {
  const gate = await readGate(store, tenant, route);
  if (gate.closed) throw new WritePathClosed(route, gate);
};

/** Domains whose facts come in through a gate of that name; what states or decides something about the ledger does not. */
const GATED: ReadonlySet<string> = new Set(['receipts']);
const GATES = 'gates-';
const KEPT_MS = 1_000;
const TENANTS_MAX = 10_000;
const ATTEMPTS = 5;

const routeOf = ({ drafts }: AppendRequest): string | undefined => {
  const domain = drafts[0]?.type.split('.')[0];
  return domain !== undefined && GATED.has(domain) ? domain : undefined;
};

/** The same store, whose append throws `WritePathClosed`. `steadyClock`: milliseconds that never go back. */
export const throughGates = <S extends StreamStore>(store: S, steadyClock: () => number): S => {
  const kept = new Map<string, { readonly askedAt: number; readonly gate: Promise<Gate> }>();
  const gateOf = (tenant: TenantId, route: string, anew: boolean): Promise<Gate> => {
    const key = `${tenant} ${route}`;
    const known = kept.get(key);
    const askedAt = steadyClock();
    if (known && !anew && askedAt - known.askedAt < KEPT_MS) return known.gate;
    if (kept.size >= TENANTS_MAX) kept.delete(kept.keys().next().value as string);
    const entry = { askedAt, gate: readGate(store, tenant, route) };
    kept.set(key, entry);
    entry.gate.catch(() => {
      if (kept.get(key) === entry) kept.delete(key);
    });
    return entry.gate;
  };
  const append = async (request: AppendRequest) => {
    const route = routeOf(request);
    if (route === undefined || request.expect.kind !== 'any') return await store.append(request);
    for (let attempt = 0; ; attempt += 1) {
      const gate = await gateOf(request.tenant, route, attempt > 0);
      if (gate.closed) throw new WritePathClosed(route, gate);
      if (gate.epoch === 0) return await store.append(request);
      const stream = streamName('gates', route);
      const expect = { kind: 'stream', stream, revision: gate.revision } as const;
      const result = await store.append({ ...request, expect });
      if (result.kind !== 'conflict' || attempt >= ATTEMPTS) return result;
    }
  };
  return { ...store, append };
};

/**
 * The same gates for messages, which are held while theirs is closed. What is known of a gate is kept for good: the
 * commit names where it stood, and asks anew when it has moved, so that not even the first closing comes late.
 */
export const messageGates = (store: Pick<StreamStore, 'readStream'>): Gates => {
  const kept = new Map<string, GateStanding>();
  const ask = async (tenant: TenantId, route: string): Promise<GateStanding> => {
    const gate = await readGate(store, tenant, route);
    const { revision } = gate;
    const closed = gate.closed ? new WritePathClosed(route, gate).message : undefined;
    return { tenant, stream: streamName('gates', route), revision, closed };
  };
  return {
    gateOf: (request) => {
      const route = routeOf(request);
      return route === undefined ? undefined : { tenant: request.tenant, stream: streamName('gates', route) };
    },
    standing: (gates, anew) =>
      Promise.all(
        gates.map(async ({ tenant, stream }) => {
          const key = `${tenant} ${stream}`;
          const known = anew ? undefined : kept.get(key);
          if (known) return known;
          if (kept.size >= TENANTS_MAX) kept.delete(kept.keys().next().value as string);
          const standing = await ask(tenant, stream.slice(GATES.length));
          kept.set(key, standing);
          return standing;
        }),
      ),
  };
};
