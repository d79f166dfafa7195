// The same facts in another order of arrival: each tenant's own order stays, the tenants' order among each other is drawn
// from a seed, within a stretch of the file at a time, so that memory stays bounded.
import type { Chance } from '#schemas/fixture.ts';
import type { LinePiece } from '../feed.ts';

const NEWLINE = 0x0a;
/** Pieces that are shuffled together. */
const STRETCH = 16;

/** A shuffled history has no places to go on from: its pieces are to be read from the beginning. */
export const shuffledPieces = async function* (
  pieces: AsyncIterable<LinePiece>,
  chance: Chance,
): AsyncGenerator<LinePiece> {
  let stretch: LinePiece[] = [];
  for await (const piece of pieces) {
    stretch.push(piece);
    if (stretch.length < STRETCH) continue;
    yield shuffled(stretch, chance);
    stretch = [];
  }
  if (stretch.length > 0) yield shuffled(stretch, chance);
};

const shuffled = (stretch: readonly LinePiece[], chance: Chance): LinePiece => {
  const queues = new Map<string, Buffer[]>();
  const first: Buffer[] = [];
  const last: Buffer[] = [];
  for (const line of stretch.flatMap(({ bytes }) => linesOf(Buffer.from(bytes)))) {
    const tenant = tenantOf(line);
    if (tenant === undefined) {
      (line.includes('"expect":') ? last : first).push(line);
      continue;
    }
    const queue = queues.get(tenant);
    if (queue) queue.push(line);
    else queues.set(tenant, [line]);
  }
  return joined(stretch, [...first, ...drawn(queues, chance), ...last]);
};

/** Runs of one tenant after the other. */
const drawn = function* (queues: Map<string, Buffer[]>, chance: Chance): Generator<Buffer> {
  while (queues.size > 0) {
    const [tenant, lines] = chance.pick([...queues]);
    yield* lines.splice(0, 1 + chance.int(20));
    if (lines.length === 0) queues.delete(tenant);
  }
};

const joined = (stretch: readonly LinePiece[], lines: readonly Buffer[]): LinePiece => {
  const bytes = Buffer.concat(lines);
  const { firstLine } = stretch[0] as LinePiece;
  const { endOffset } = stretch.at(-1) as LinePiece;
  return { bytes: Uint8Array.from(bytes).buffer, firstLine, endOffset };
};

const linesOf = (bytes: Buffer): Buffer[] => {
  const lines: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const newline = bytes.indexOf(NEWLINE, at);
    const end = newline === -1 ? bytes.length : newline + 1;
    const line = bytes.subarray(at, end);
    lines.push(newline === -1 ? Buffer.concat([line, Buffer.from('\n')]) : line);
    at = end;
  }
  return lines;
};

/** The first members of a line are the format's own (fixtures/format.ts): no payload stands before the tenant. */
const tenantOf = (line: Buffer): string | undefined =>
  /^\{(?:"again":"\w+",)?"tenant":"([a-z0-9-]+)"/.exec(line.toString('latin1', 0, 128))?.[1];
