// The store with somebody looking on: told of what was appended, after it was, and never in the way of an answer.
import type { Appended, StreamStore } from '#streams/stream.ts';

export const observedStore = <S extends StreamStore>(
  store: S,
  onAppended: (facts: readonly Appended[]) => void,
): S => ({
  ...store,
  append: async (request) => {
    const result = await store.append(request);
    if (result.kind === 'appended') onAppended(result.facts);
    return result;
  },
});
