// A mapping as the command line names it: a file, or one that comes with the program.
import { hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { compileMapping, type Mapping } from '../ingest/mapping.ts';
import { CliError } from './exit.ts';

const SHIPPED = new URL('../ingest/mappings/', import.meta.url);

/** A mapping by its file's name, or a shipped one by its own. Throws `CliError` with every fault. */
export const loadMapping = async (
  name: string,
): Promise<{ readonly mapping: Mapping; readonly content: unknown; readonly digest: string }> => {
  const shipped = /^[a-z][a-z0-9-]*$/.test(name);
  let text: string;
  try {
    text = await readFile(shipped ? new URL(`${name}.json`, SHIPPED) : name, 'utf8');
  } catch (cause) {
    throw new CliError(
      'usage',
      'mapping-unreadable',
      `the mapping ${name} cannot be read: name a file (./${name}.json), or a shipped mapping: git-commits, identity`,
      { cause },
    );
  }
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (cause) {
    throw new CliError(
      'usage',
      'mapping-malformed',
      `the mapping ${name} is no JSON: ${(cause as Error).message}`,
      { cause },
    );
  }
  const compiled = compileMapping(content);
  if (compiled.ok) return { mapping: compiled.mapping, content, digest: hash('sha256', text) };
  throw new CliError(
    'usage',
    'mapping-malformed',
    `the mapping ${name}: ${compiled.faults.map(({ pointer, message }) => `${pointer} ${message}`).join('; ')}`,
  );
};
