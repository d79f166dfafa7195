// A replay in a process of its own, with a read model that sorts as the locale does, by a collator that was made before
// any guard stood. Arguments: a fixture, and a folder for the rows or nothing. Says what the read model came to.
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import type { AnyProjector } from '#projectors/batch.ts';
import { rowsWriter } from '#replay-harness/prove/rows.ts';
import { replay } from '#replay-harness/replay.ts';
import { plantedProjector, textFeed } from '../replayed.ts';

const collator = new Intl.Collator();

export const sorting: AnyProjector = {
  ...plantedProjector((_, { id, seq }) => ({
    id,
    value: seq < 20 ? '' : ['z', 'ä'].sort(collator.compare).join(),
  })),
  columns: { id: 'text', value: 'text' },
  key: ['id'],
  keys: ({ id }) => [[id]],
  insertOnly: true,
};

if (import.meta.main) {
  const [fixture = '', rows] = process.argv.slice(2);
  using writer = rows === undefined ? undefined : rowsWriter(rows, [sorting]);
  const { outcome } = await replay({
    feed: textFeed(readFileSync(fixture, 'utf8')),
    projectors: [sorting],
    workers: 0,
    folder: tmpdir(),
    onRows: writer?.write,
  });
  console.log(JSON.stringify(outcome.models));
}
