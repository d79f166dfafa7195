// Many pieces of work at once, their results in the order in which the work came. A result is handed on as soon as
// all before it are; the source is read ahead no further than the window, so memory stays bounded.

export interface Window<Item> {
  /** Pieces of work under way, or done and not yet handed on, at most. */
  readonly items: number;
  /** Sum of their weights at most; one item alone may weigh more. */
  readonly weight: number;
  readonly weigh: (item: Item) => number;
}

/** `work` must not reject. Ending the iteration early stops the reading; work under way is not undone. */
export const inOrder = async function* <Item, Result>(
  source: AsyncIterable<Item>,
  work: (item: Item) => Promise<Result>,
  window: Window<Item>,
): AsyncGenerator<Result> {
  const waiting: { readonly result: Promise<Result>; readonly weight: number }[] = [];
  const changed = signal();
  let weight = 0;
  let over = false;
  const read = async (): Promise<void> => {
    for await (const item of source) {
      const next = window.weigh(item);
      while (!over && waiting.length > 0 && (waiting.length >= window.items || weight + next > window.weight))
        await changed.happened();
      if (over) return;
      weight += next;
      waiting.push({ result: work(item), weight: next });
      changed.tell();
    }
  };
  const end = (): void => {
    over = true;
    changed.tell();
  };
  const reading = read().finally(end);
  // Awaited below; until then a failure of the source is not unhandled.
  reading.catch(() => undefined);
  try {
    for (;;) {
      const first = waiting[0];
      if (first) {
        const result = await first.result;
        waiting.shift();
        weight -= first.weight;
        changed.tell();
        yield result;
      } else if (over) {
        return await reading;
      } else {
        await changed.happened();
      }
    }
  } finally {
    end();
  }
};

/** Wakes all who wait. */
const signal = () => {
  let next = Promise.withResolvers<void>();
  return {
    happened: (): Promise<void> => next.promise,
    tell: (): void => {
      next.resolve();
      next = Promise.withResolvers();
    },
  };
};
