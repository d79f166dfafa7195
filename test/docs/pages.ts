// The project's documents, and what stands in them: code blocks, tables, links.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const PROJECT = fileURLToPath(new URL('../..', import.meta.url)).replace(/[\\/]$/, '');

export interface Block {
  readonly language: string;
  /** What stands behind the language: a file's name, or how the block is used. */
  readonly label: string;
  readonly text: string;
  /** The nearest heading above. */
  readonly heading: string;
}

export const page = (path: string): string => readFileSync(join(PROJECT, path), 'utf8');

/** Every fenced block, in order. */
export const blocksOf = (markdown: string): readonly Block[] => {
  const blocks: Block[] = [];
  let heading = '';
  let open: { readonly language: string; readonly label: string; readonly lines: string[] } | undefined;
  for (const line of markdown.split('\n')) {
    if (open && line === '```') {
      blocks.push({
        language: open.language,
        label: open.label,
        heading,
        text: `${open.lines.join('\n')}\n`,
      });
      open = undefined;
    } else if (open) open.lines.push(line);
    else if (line.startsWith('```')) {
      const [language = '', ...label] = line.slice(3).trim().split(' ');
      open = { language, label: label.join(' '), lines: [] };
    } else if (/^#+ /.test(line)) heading = line.replace(/^#+ /, '');
  }
  if (open) throw new Error(`a code block under "${heading}" is never closed`);
  return blocks;
};

/** The text outside code blocks and code spans. */
export const proseOf = (markdown: string): string =>
  markdown.replace(/^```[^]*?^```$/gm, '').replace(/`[^`\n]+`/g, '');

/** The cells of every table row under a heading, the head rows left out. */
export const rowsUnder = (markdown: string, heading: string): readonly (readonly string[])[] => {
  const start = markdown.indexOf(`# ${heading}\n`);
  if (start === -1) throw new Error(`there is no heading "${heading}"`);
  const section = markdown.slice(start).split(/\n(?=#+ )/)[0] ?? '';
  return section
    .split('\n')
    .filter((line, index, lines) => line.startsWith('|') && !/^\|[-| ]+\|$/.test(lines[index + 1] ?? ''))
    .filter((line) => !/^\|[-| ]+\|$/.test(line))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    );
};

/** Where a heading can be linked to, as code hosts make it: lower case, blanks to `-`, other signs dropped. */
export const anchorsOf = (markdown: string): ReadonlySet<string> =>
  new Set(
    [...markdown.replace(/^```[^]*?^```$/gm, '').matchAll(/^#+ (.+)$/gm)].map(([, text = '']) =>
      text
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );

/** Paths of all Markdown files of the project, from its root. */
export const markdownFiles = (): readonly string[] => {
  const found: string[] = [];
  const walk = (folder: string): void => {
    for (const entry of readdirSync(join(PROJECT, folder), { withFileTypes: true })) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) {
        if (!['node_modules', '.git', '.data', 'coverage'].includes(entry.name)) walk(path);
      } else if (entry.name.endsWith('.md')) found.push(path);
    }
  };
  walk('');
  return found.sort();
};
