// The hashes of a read model's rows while they arrive in any order, in bounded memory: what does not fit goes into a file,
// already parted by first byte, so that the parts can be sorted one after the other at the end.
import { closeSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { digestOfSorted, ROW_HASH_BYTES, sortRowHashes } from '#projectors/digest.ts';

export interface RowHashes extends Disposable {
  /** Row hashes, 32 bytes each. */
  add(hashes: Uint8Array): void;
  count(): number;
  /** The digest over all that were added so far; more may follow. */
  digest(): string;
  /** Puts everything into the file, which is then kept; `from` goes on with it. */
  state(): RowHashesState;
}

export interface RowHashesState {
  readonly count: number;
  readonly end: number;
  /** By part: offset and length in turn. */
  readonly pieces: readonly (readonly number[])[];
}

export interface RowHashesOptions {
  /** Where the file goes, under a name that nobody else uses. */
  readonly folder: string;
  readonly name: string;
  /** 8 MiB unless told. */
  readonly memoryBytes?: number;
  readonly from?: RowHashesState | undefined;
}

const PARTS = 256;

/** One part of one spill. */
interface Piece {
  readonly at: number;
  readonly bytes: number;
}

export const rowHashes = ({ folder, name, memoryBytes = 8 << 20, from }: RowHashesOptions): RowHashes => {
  const path = join(folder, `${name}.hashes`);
  const pieces: Piece[][] = Array.from({ length: PARTS }, (_, part) => piecesOf(from?.pieces[part] ?? []));
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  // What was written behind the saved state is written over.
  let file = from && from.end > 0 ? openSync(path, 'r+') : undefined;
  let end = from?.end ?? 0;
  let count = from?.count ?? 0;
  let kept = false;

  const spill = (): void => {
    file ??= openSync(path, 'w+', 0o600);
    const parted = partition(held, heldBytes);
    for (let at = 0; at < parted.bytes.length; )
      at += writeSync(file, parted.bytes, at, parted.bytes.length - at, end + at);
    for (const [part, { at, bytes }] of parted.pieces.entries())
      if (bytes > 0) pieces[part]?.push({ at: end + at, bytes });
    end += parted.bytes.length;
    held = [];
    heldBytes = 0;
  };

  return {
    add: (hashes) => {
      held.push(hashes);
      heldBytes += hashes.length;
      count += hashes.length / ROW_HASH_BYTES;
      if (heldBytes >= memoryBytes) spill();
    },
    count: () => count,
    digest: () => {
      const parted = partition(held, heldBytes);
      held = [parted.bytes];
      const digest = digestOfSorted();
      for (let part = 0; part < PARTS; part += 1) {
        const here = parted.pieces[part] as Piece;
        const stored = (pieces[part] as Piece[]).map((piece) => readPiece(file as number, piece));
        digest.add(
          sortRowHashes(Buffer.concat([...stored, parted.bytes.subarray(here.at, here.at + here.bytes)])),
        );
      }
      return digest.end();
    },
    state: () => {
      if (heldBytes > 0) spill();
      kept = true;
      return { count, end, pieces: pieces.map((part) => part.flatMap(({ at, bytes }) => [at, bytes])) };
    },
    [Symbol.dispose]: () => {
      if (file === undefined) return;
      closeSync(file);
      if (!kept) unlinkSync(path);
      file = undefined;
    },
  };
};

const piecesOf = (numbers: readonly number[]): Piece[] =>
  Array.from({ length: numbers.length / 2 }, (_, index) => ({
    at: numbers[index * 2] as number,
    bytes: numbers[index * 2 + 1] as number,
  }));

/** All hashes, those with the same first byte together. */
const partition = (held: readonly Uint8Array[], heldBytes: number) => {
  const sizes = new Uint32Array(PARTS);
  for (const hashes of held)
    for (let at = 0; at < hashes.length; at += ROW_HASH_BYTES)
      sizes[hashes[at] as number] = (sizes[hashes[at] as number] as number) + ROW_HASH_BYTES;
  const places = new Uint32Array(PARTS);
  const pieces: Piece[] = [];
  for (let part = 0, at = 0; part < PARTS; part += 1) {
    places[part] = at;
    pieces.push({ at, bytes: sizes[part] as number });
    at += sizes[part] as number;
  }
  const bytes = Buffer.allocUnsafe(heldBytes);
  for (const hashes of held) {
    for (let at = 0; at < hashes.length; at += ROW_HASH_BYTES) {
      const part = hashes[at] as number;
      bytes.set(hashes.subarray(at, at + ROW_HASH_BYTES), places[part]);
      places[part] = (places[part] as number) + ROW_HASH_BYTES;
    }
  }
  return { bytes, pieces };
};

const readPiece = (file: number, { at, bytes }: Piece): Buffer => {
  const buffer = Buffer.allocUnsafe(bytes);
  for (let done = 0; done < bytes; ) {
    const read = readSync(file, buffer, done, bytes - done, at + done);
    if (read === 0) throw new Error('the file of row hashes is shorter than it was written');
    done += read;
  }
  return buffer;
};
