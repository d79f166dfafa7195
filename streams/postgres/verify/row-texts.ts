// Texts of top-level members of canonical JSON, found without parsing it, in the payloads of a whole chunk of rows: each
// member is looked for once over all of the chunk, whichever payloads have it.
//
// In canonical JSON the members stand in order, none comes twice, and a name with its quotes and the quote that opens its
// text stands nowhere but behind a brace or comma.

export interface RowTexts {
  /** The payloads asked for next stand in these bytes, in the order in which they are asked for. */
  take(bytes: Buffer): void;
  /** The next payload: from the byte at `start` up to the one at `end`. */
  payload(start: number, end: number): void;
  /**
   * Looks for the text of a member, by its place in the list, behind those that were found in this payload: false when
   * that cannot be said without parsing. `found` is empty when there is no such text.
   */
  find(member: number): boolean;
  /** Where the text that was found last begins and ends. */
  readonly found: { readonly start: number; readonly end: number };
}

export const rowTexts = (members: readonly string[]): RowTexts => {
  const opened = members.map((name) => `"${name}":"`);
  /** One character a byte, whatever the bytes are: places in it are places in them, and it is searched quickly. */
  let text = '';
  /** Where each member stands next, and an escape, as far as it is known. */
  const next = members.map(() => -1);
  let escape = -1;
  let [start, end] = [0, 0];
  /** What lies before the first brace inside the outermost object, or behind the last one, is in no other. */
  let [first, last] = [0, 0];
  let behind = 0;
  const found = { start: 0, end: 0 };

  /** The first place from `from` on, or the end of the payload. */
  const placeOf = (member: number, from: number): number => {
    let at = next[member] as number;
    if (at < from) {
      at = text.indexOf(opened[member] as string, from);
      if (at === -1) at = text.length;
      next[member] = at;
    }
    return at + (opened[member] as string).length <= end ? at : end;
  };
  const escapeBehind = (from: number): number => {
    if (escape < from) escape = text.indexOf('\\', from);
    if (escape === -1) escape = text.length;
    return escape;
  };
  const foundAt = (from: number, to: number): true => {
    found.start = from;
    found.end = to;
    return true;
  };

  return {
    found,
    take: (bytes) => {
      text = bytes.toString('latin1');
      next.fill(-1);
      escape = -1;
    },
    payload: (from, to) => {
      [start, end, behind] = [from, to, from];
      const brace = text.indexOf('{', start + 1);
      [first, last] = brace === -1 || brace >= end ? [end, start] : [brace, text.lastIndexOf('}', end - 2)];
    },
    find: (member) => {
      let at = placeOf(member, behind);
      if (at < last) {
        const early = at;
        at = placeOf(member, last);
        if (at === end) {
          if (early > first) return false;
          at = early;
        }
      }
      if (at === end) return foundAt(start, start);
      if (at !== start + 1 && text[at - 1] !== ',') return false;
      const begins = at + (opened[member] as string).length;
      behind = text.indexOf('"', begins);
      return begins <= behind && behind < end && escapeBehind(begins) > behind && foundAt(begins, behind);
    },
  };
};
