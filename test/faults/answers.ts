// What clients were told, and whether it holds: a receipt has one answer for ever, and what was acknowledged is stored,
// once, at the place that the answer names.
import type { Recorded } from '#schemas/event.ts';
import type { TenantId } from '#schemas/ids.ts';
import type { StreamStore } from '#streams/stream.ts';

/** Where an answer says that the receipt is. */
export interface Place {
  readonly seq: number;
  readonly hash: string;
}

/** One receipt that somebody wants recorded. */
export interface Wanted {
  readonly tenant: TenantId;
  /** Its id, unique over all tenants here. */
  readonly id: string;
}

export interface Answers {
  readonly sent: (wanted: Wanted) => void;
  /** `whole` is all of the answer that a repetition must share; absent of one line of a batch. Throws on a contradiction. */
  readonly acknowledged: (id: string, place: Place, whole?: string) => void;
  readonly isAcknowledged: (id: string) => boolean;
  readonly figures: () => { readonly sent: number; readonly acknowledged: number; readonly repeated: number };
  /** Throws when the ledger is not what was said of it. Called while receipts come in, it knows nothing of later ones. */
  readonly expectKept: (store: Pick<StreamStore, 'read'>) => Promise<void>;
  /** When all that was sent was acknowledged: throws when there is a receipt that is not. */
  readonly expectComplete: () => void;
}

interface Told extends Wanted {
  place?: Place;
  whole?: string;
}

export const answerBook = (): Answers => {
  const told = new Map<string, Told>();
  let repeated = 0;
  const toldOf = (id: string): Told => {
    const of = told.get(id);
    if (!of) throw new Error(`${id} was answered and never sent`);
    return of;
  };
  const acknowledged = (): readonly Told[] => [...told.values()].filter(({ place }) => place);
  return {
    sent: (wanted) => {
      if (!told.has(wanted.id)) told.set(wanted.id, { ...wanted });
    },
    acknowledged: (id, place, whole) => {
      const of = toldOf(id);
      if (of.place) repeated += 1;
      if (of.place && (of.place.seq !== place.seq || of.place.hash !== place.hash))
        throw new Error(`${id} was acknowledged at ${of.place.seq} and then at ${place.seq}`);
      if (of.whole !== undefined && whole !== undefined && of.whole !== whole)
        throw new Error(`${id} was answered in two ways:\n${of.whole}\n${whole}`);
      of.place = place;
      if (whole !== undefined) of.whole = whole;
    },
    isAcknowledged: (id) => toldOf(id).place !== undefined,
    figures: () => ({ sent: told.size, acknowledged: acknowledged().length, repeated }),
    expectKept: async (store) => {
      const expected = acknowledged();
      for (const tenant of new Set(expected.map((of) => of.tenant)))
        await expectTenantKept(
          store,
          tenant,
          expected.filter((of) => of.tenant === tenant),
        );
    },
    expectComplete: () => {
      const open = [...told.values()].filter(({ place }) => !place);
      if (open.length > 0) throw new Error(`${open.length} receipts were never acknowledged: ${open[0]?.id}`);
    },
  };
};

const expectTenantKept = async (
  store: Pick<StreamStore, 'read'>,
  tenant: TenantId,
  expected: readonly Told[],
): Promise<void> => {
  const stored = new Map<string, Recorded>();
  for await (const page of store.read(tenant))
    for (const fact of page) {
      if (fact.type !== 'receipts.ReceiptRecorded') continue;
      const { id } = JSON.parse(fact.payload) as { readonly id: string };
      if (stored.has(id)) throw new Error(`${tenant} has the receipt ${id} twice`);
      stored.set(id, fact);
    }
  for (const { id, place } of expected) {
    const fact = stored.get(id);
    if (!fact) throw new Error(`${tenant}: the receipt ${id} was acknowledged and is not stored`);
    if (fact.seq !== place?.seq || fact.hash !== place.hash)
      throw new Error(`${tenant}: the receipt ${id} is at ${fact.seq}, and was said to be at ${place?.seq}`);
  }
};
