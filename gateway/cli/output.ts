// Two audiences: people read the text, scripts read --json. With --json, standard output carries one JSON document, or
// NDJSON from commands that stream, and nothing else; whatever is for people goes to standard error.
import type { Terminal } from './world.ts';

export interface Output {
  readonly json: boolean;
  /** The command's answer: the document for scripts, or the text for people. */
  readonly answer: (document: object, text: () => string) => void;
  /** One of many answers, as it comes. */
  readonly item: (document: object, text: () => string) => void;
  /** For people only. */
  readonly note: (text: string) => void;
}

export const outputTo = (
  { stdout, stderr }: { readonly stdout: Terminal; readonly stderr: Terminal },
  json: boolean,
): Output => {
  const put = (document: object, text: () => string): void => {
    stdout.write(json ? `${JSON.stringify(document)}\n` : withNewline(text()));
  };
  return { json, answer: put, item: put, note: (text) => stderr.write(withNewline(text)) };
};

const withNewline = (text: string): string => (text === '' || text.endsWith('\n') ? text : `${text}\n`);

/** 1234567 as `1,234,567`, whatever the machine's locale. */
export const figure = (value: number): string => String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');

export const count = (value: number, one: string, many = `${one}s`): string =>
  `${figure(value)} ${value === 1 ? one : many}`;

/** What a terminal would obey is shown as an escape instead: a receipt must not be able to paint the screen. */
export const visible = (text: string): string =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the very characters meant
  text.replace(
    /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

/** Rows under headings, columns as wide as their widest text. */
export const table = (headings: readonly string[], rows: readonly (readonly unknown[])[]): string => {
  const lines = [headings, ...rows].map((row) => row.map(cell));
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  return lines
    .map((line) =>
      line
        .map((text, column) => text.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
};

const cell = (value: unknown): string => {
  if (value === null || value === undefined) return '-';
  if (value instanceof Date) return value.toISOString();
  return visible(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));
};

/** Names and values, one a line. */
export const pairs = (entries: readonly (readonly [string, unknown])[]): string => {
  const width = Math.max(...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${cell(value)}`).join('\n');
};
