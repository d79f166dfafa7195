// How much of one tenant's bulk is under way while others wait for single answers. Alone, a batch takes what it can get;
// beside others it keeps to a share so small that what they send goes into a small commit and soon, and is let in a few
// pieces at a time, between which their requests are looked at. The tenant with the bulk waits behind itself.

export interface BulkShares {
  /** Somebody of this tenant waits for a single answer. */
  asked(tenant: string): void;
  /** The result of one piece of bulk work, begun in the order of the calls as soon as the tenant's share has room. */
  inShare<T>(tenant: string, work: () => Promise<T>): Promise<T>;
}

/** Pieces of work under way at once, of each tenant beside others: about a thousand a second; fewer would not be felt. */
const UNDER_WAY = 4;
/** Pieces let in during one turn of the event loop. */
const A_TURN = 8;
/** For so long after a single request the others count as being there. */
const ABOUT_MS = 1_000;

interface Lane {
  underWay: number;
  readonly waiting: (() => void)[];
  /** They will be let in on the next turn. */
  opening: boolean;
}

/** `steadyClock`: milliseconds of a clock that never goes back; the process's unless told. */
export const bulkShares = (steadyClock: () => number = () => performance.now()): BulkShares => {
  const lanes = new Map<string, Lane>();
  const askers = lastAskers();
  const laneOf = (tenant: string): Lane => {
    const lane = lanes.get(tenant) ?? { underWay: 0, waiting: [], opening: false };
    lanes.set(tenant, lane);
    return lane;
  };
  const isAlone = (tenant: string): boolean => steadyClock() - askers.lastBeside(tenant) > ABOUT_MS;
  const hasRoom = (tenant: string, { underWay }: Lane): boolean => underWay < UNDER_WAY || isAlone(tenant);
  const open = (tenant: string, lane: Lane): void => {
    lane.opening = false;
    for (let count = 0; count < A_TURN && lane.waiting.length > 0 && hasRoom(tenant, lane); count += 1) {
      lane.underWay += 1;
      lane.waiting.shift()?.();
    }
    openSoon(tenant, lane);
  };
  const openSoon = (tenant: string, lane: Lane): void => {
    if (lane.opening || lane.waiting.length === 0 || !hasRoom(tenant, lane)) return;
    lane.opening = true;
    setImmediate(open, tenant, lane);
  };
  const leave = (tenant: string, lane: Lane): void => {
    lane.underWay -= 1;
    openSoon(tenant, lane);
    if (lane.underWay === 0 && lane.waiting.length === 0) lanes.delete(tenant);
  };
  return {
    asked: (tenant) => askers.asked(tenant, steadyClock()),
    inShare: async (tenant, work) => {
      const lane = laneOf(tenant);
      if (lane.waiting.length > 0 || !hasRoom(tenant, lane))
        await new Promise<void>((enter) => lane.waiting.push(enter));
      else lane.underWay += 1;
      try {
        return await work();
      } finally {
        leave(tenant, lane);
      }
    },
  };
};

/** The last one who asked, and the last one before that was another: so it is known of each when another asked. */
const lastAskers = () => {
  let last = { tenant: '', at: Number.NEGATIVE_INFINITY };
  let before = last;
  return {
    asked: (tenant: string, at: number): void => {
      if (last.tenant !== tenant) before = last;
      last = { tenant, at };
    },
    lastBeside: (tenant: string): number => (last.tenant === tenant ? before : last).at,
  };
};
