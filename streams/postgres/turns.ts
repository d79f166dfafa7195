// Who is stored next when more waits than one commit takes: first come, first served within a tenant; among tenants, in
// turn. A tenant that sends a thousand times as much as another waits behind itself, and not the other behind it.

interface Waiting {
  readonly bytes: number;
  readonly request: { readonly tenant: string; readonly drafts: readonly unknown[] };
}

export interface Held {
  readonly facts: number;
  readonly bytes: number;
}

export interface Turns<Item extends Waiting> {
  add(item: Item): void;
  /** Before what waits of their tenants, in their order; and these tenants are the next. */
  putBack(items: readonly Item[]): void;
  /**
   * Whole items of so many facts at most, and one at least; of a quarter as many while several tenants wait, so that
   * none waits long for a commit that another has filled. What is in the batch already counts.
   */
  take(maxFacts: number, already?: number): readonly Item[];
  /** What of this tenant waits. */
  readonly held: (tenant: string) => Held;
}

interface Lane<Item> {
  items: Item[];
  /** Where the first one that still waits stands in `items`. */
  next: number;
  facts: number;
  bytes: number;
}

const SHARED = 4;

const NOTHING: Held = { facts: 0, bytes: 0 };

const emptyLane = <Item>(): Lane<Item> => ({ items: [], next: 0, facts: 0, bytes: 0 });

const factsOf = ({ request }: Waiting): number => request.drafts.length;

/** What of the batch is still to be filled, and with what. */
interface Batch<Item> {
  readonly taken: Item[];
  /** Nothing is in it: one item goes in whatever its size. */
  empty: boolean;
  room: number;
}

/** From one lane: facts up to its share of the batch, or one item. */
const serve = <Item extends Waiting>(lane: Lane<Item>, batch: Batch<Item>, share: number): void => {
  for (let given = 0; given < share && lane.next < lane.items.length; ) {
    const item = lane.items[lane.next] as Item;
    const facts = factsOf(item);
    if (facts > batch.room && !batch.empty) return;
    batch.taken.push(item);
    batch.empty = false;
    lane.next += 1;
    lane.facts -= facts;
    lane.bytes -= item.bytes;
    batch.room -= facts;
    given += facts;
  }
};

export const turns = <Item extends Waiting>(): Turns<Item> => {
  // The one who has waited longest for its turn first.
  const lanes = new Map<string, Lane<Item>>();
  const laneOf = (item: Item): Lane<Item> => {
    const { tenant } = item.request;
    const lane = lanes.get(tenant) ?? emptyLane<Item>();
    lane.facts += factsOf(item);
    lane.bytes += item.bytes;
    lanes.set(tenant, lane);
    return lane;
  };
  const serveEach = (batch: Batch<Item>): void => {
    const share = Math.max(1, Math.floor(batch.room / lanes.size));
    for (const [tenant, lane] of Array.from(lanes)) {
      if (batch.room <= 0) return;
      const from = lane.next;
      serve(lane, batch, share);
      // One whose item is too large for what is left keeps its place, and is the first of the next batch.
      if (lane.next === from) continue;
      lanes.delete(tenant);
      if (lane.next < lane.items.length) lanes.set(tenant, lane);
    }
  };
  return {
    held: (tenant) => lanes.get(tenant) ?? NOTHING,
    add: (item) => void laneOf(item).items.push(item),
    putBack: (items) => {
      const others = new Map(lanes);
      lanes.clear();
      for (const [tenant, own] of Map.groupBy(items, ({ request }) => request.tenant)) {
        const behind = others.get(tenant);
        others.delete(tenant);
        for (const item of [...own, ...(behind?.items.slice(behind.next) ?? [])])
          laneOf(item).items.push(item);
      }
      for (const [tenant, lane] of others) lanes.set(tenant, lane);
    },
    take: (maxFacts, already = 0) => {
      const room = lanes.size > 1 ? Math.max(lanes.size, Math.ceil(maxFacts / SHARED)) : maxFacts;
      const batch: Batch<Item> = {
        taken: [],
        empty: already === 0,
        room: Math.min(room, maxFacts) - already,
      };
      for (let before = -1; before < batch.taken.length && batch.room > 0 && lanes.size > 0; ) {
        before = batch.taken.length;
        serveEach(batch);
      }
      for (const lane of lanes.values()) {
        lane.items = lane.items.slice(lane.next);
        lane.next = 0;
      }
      return batch.taken;
    },
  };
};
