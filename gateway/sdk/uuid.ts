// UUIDv7 (RFC 9562 section 5.7): sorts by time, so that receipts made in a row stay in a row.

/** Within one millisecond the 12 bits behind the time count up (section 6.2, method 1). */
export const uuidMaker = (clock: () => number = Date.now): (() => string) => {
  let last = 0;
  let count = 0;
  return () => {
    const now = Math.max(last, clock());
    count = now === last ? count + 1 : 0;
    // A millisecond with more than 4,096 of them borrows from the next.
    last = count > 0xfff ? now + 1 : now;
    if (count > 0xfff) count = 0;
    const random = crypto.getRandomValues(new Uint8Array(8));
    random[0] = ((random[0] as number) & 0x3f) | 0x80;
    const tail = Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('');
    const ms = last.toString(16).padStart(12, '0');
    return `${ms.slice(0, 8)}-${ms.slice(8)}-7${count.toString(16).padStart(3, '0')}-${tail.slice(0, 4)}-${tail.slice(4)}`;
  };
};
