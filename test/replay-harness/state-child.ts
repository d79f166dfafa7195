// A replay that keeps how far it came, slowly, so that it can be killed on the way. Arguments: a fixture, a folder.
import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { writeState } from '#gateway/cli/replay-state.ts';
import { projectors } from '#projectors/index.ts';
import { type ReplayState, replay } from '#replay-harness/replay.ts';
import { textFeed, textPieces } from './replayed.ts';

const [fixture = '', folder = ''] = process.argv.slice(2);
const bytes = readFileSync(fixture);
const slowly: Parameters<typeof textFeed>[1] = {
  pieces: async function* (from) {
    for await (const piece of textPieces(bytes, { from, chunkBytes: 20_000 })) {
      yield piece;
      await setTimeout(20);
    }
  },
};
let writing: Promise<unknown> = Promise.resolve();
await replay({
  feed: textFeed(bytes, slowly),
  projectors,
  workers: 0,
  folder,
  stateEvery: 50,
  onState: (state: ReplayState) => {
    writing = writing.then(() => writeState(folder, state));
  },
});
await writing;
console.log('to the end');
