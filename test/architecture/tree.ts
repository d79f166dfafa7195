// The project's own tree, as the architecture test looks at it.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Tree } from './check.ts';

const SKIPPED = new Set(['node_modules', '.git', '.data', 'coverage']);

/** Reads every file of code, SQL, schema and document below `root`; the other files are known by name only. */
export function readTree(root: string): Tree {
  const files = new Map<string, string>();
  const folders = new Set<string>();
  const walk = (folder: string): void => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (SKIPPED.has(entry.name)) continue;
      if (!entry.isDirectory())
        files.set(path, /\.(ts|mts|mjs|js)$/.test(path) ? readFileSync(join(root, path), 'utf8') : '');
      else {
        folders.add(path);
        walk(path);
      }
    }
  };
  walk('');
  return { files, folders };
}
