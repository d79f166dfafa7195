// What the tenants' own facts come to, as the gateway needs it at every request: folded from the store, kept for at most
// a second, and read again on demand. The age counts from before a read began, so a slow read makes nothing older
// look new.
import { setTimeout as pause } from 'node:timers/promises';
import { type TenantState, tenants } from '#commands/tenants.ts';
import type { Recorded } from '#schemas/event.ts';
import { streamName, type TenantId } from '#schemas/ids.ts';
import { decodeFact } from '#schemas/index.ts';
import type { TenantEvent } from '#schemas/tenants.ts';
import type { StreamStore } from '#streams/stream.ts';

export interface KnownTenant {
  /** Holds everything that was recorded before `asOf`, on the steady clock. */
  readonly asOf: number;
  readonly state: TenantState;
}

export interface TenantStates {
  /** At most a second old; at once when it is in memory. Rejects with the store's error. */
  recent(tenant: TenantId): KnownTenant | Promise<KnownTenant>;
  /** By a read that begins after this call. */
  newest(tenant: TenantId): Promise<KnownTenant>;
}

const KEPT_MS_MAX = 1_000;
/** Between two reads that `newest` begins, so that wrong tokens cannot be turned into load on the store. */
const NEWEST_EVERY_MS = 100;
/** Tenants in memory; names that nobody has are among them, so the number must be bounded. */
const TENANTS_MAX = 10_000;

interface Fold extends KnownTenant {
  readonly count: number;
  readonly last: Recorded | undefined;
}

interface Entry {
  readonly tenant: TenantId;
  fold: Fold;
  reading: { readonly startedAt: number; readonly done: Promise<Fold> } | undefined;
  /** A read that has yet to begin, shared by all who wait for it. */
  planned: Promise<Fold> | undefined;
}

const NOTHING: Fold = { asOf: Number.NEGATIVE_INFINITY, state: tenants.initial, count: 0, last: undefined };

interface Source {
  readonly store: Pick<StreamStore, 'readStream'>;
  /** Milliseconds of a clock that never goes back. */
  readonly steadyClock: () => number;
}

export const tenantStates = (source: Source): TenantStates => {
  const entries = new Map<TenantId, Entry>();

  const entryOf = (tenant: TenantId): Entry => {
    const known = entries.get(tenant);
    if (known) return known;
    const entry: Entry = { tenant, fold: NOTHING, reading: undefined, planned: undefined };
    if (entries.size >= TENANTS_MAX) entries.delete(entries.keys().next().value as TenantId);
    entries.set(tenant, entry);
    return entry;
  };

  return {
    recent: (tenant) => {
      const now = source.steadyClock();
      const entry = entryOf(tenant);
      const { fold, reading } = entry;
      if (now - fold.asOf < KEPT_MS_MAX) return fold;
      // Callers that arrive together share one read.
      return reading && now - reading.startedAt < KEPT_MS_MAX ? reading.done : beginRead(source, entry);
    },
    newest: (tenant) => {
      const entry = entryOf(tenant);
      entry.planned ??= planRead(source, entry);
      return entry.planned;
    },
  };
};

const planRead = async (source: Source, entry: Entry): Promise<Fold> => {
  const lastStart = Math.max(entry.fold.asOf, entry.reading?.startedAt ?? Number.NEGATIVE_INFINITY);
  await pause(Math.max(0, NEWEST_EVERY_MS - (source.steadyClock() - lastStart)));
  entry.planned = undefined;
  return await beginRead(source, entry);
};

const beginRead = (source: Source, entry: Entry): Promise<Fold> => {
  const startedAt = source.steadyClock();
  const reading = { startedAt, done: read(source, entry, startedAt) };
  entry.reading = reading;
  const forget = (): void => {
    if (entry.reading === reading) entry.reading = undefined;
  };
  reading.done.then(forget, forget);
  return reading.done;
};

const read = async ({ store }: Source, entry: Entry, startedAt: number): Promise<Fold> => {
  const { tenant } = entry;
  const facts = await store.readStream(tenant, streamName('tenants', tenant));
  const fold = foldOn(entry.fold, facts, startedAt);
  // A slow read may be overtaken by a later one.
  if (startedAt >= entry.fold.asOf) entry.fold = fold;
  return fold;
};

/** The stream only grows, so only what is new is folded; one that does not continue the last is folded anew. */
const foldOn = (before: Fold, facts: readonly Recorded[], asOf: number): Fold => {
  const continues = before.count > 0 && facts[before.count - 1]?.hash === before.last?.hash;
  const from = continues ? before : NOTHING;
  let { state } = from;
  for (let index = from.count; index < facts.length; index += 1) {
    state = tenants.evolve(state, decodeFact(facts[index] as Recorded) as unknown as TenantEvent);
  }
  return { asOf, state, count: facts.length, last: facts.at(-1) };
};
