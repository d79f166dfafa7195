// Real facts for a first start: the history of a git repository as source lines for the mapping `git-commits`, or the
// sample that comes with the project where there is no history or no git.
import { execFile } from 'node:child_process';
import { hash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';

export interface CommitLines {
  readonly from: string;
  readonly lines: readonly string[];
}

const SAMPLE = new URL('./sample/commits.ndjson', import.meta.url);
const COMMITS_MAX = 50_000;
const FIELD = '\u001f';

/** Oldest first. Never throws for want of a history. */
export const commitLines = async (project: string): Promise<CommitLines> => {
  const history = existsSync(join(project, '.git'))
    ? await gitLines(project).catch(() => undefined)
    : undefined;
  if (history && history.length > 0) return { from: "this repository's own git history", lines: history };
  const sample = await readFile(SAMPLE, 'utf8');
  return { from: 'the sample in deploy/processes/sample', lines: sample.trimEnd().split('\n') };
};

const git = async (project: string, ...args: readonly string[]): Promise<string> => {
  const { stdout } = await promisify(execFile)('git', ['-C', project, ...args], { maxBuffer: 256 << 20 });
  return stdout;
};

const gitLines = async (project: string): Promise<readonly string[]> => {
  const repository = await repositoryName(project);
  const format = ['%H', '%T', '%P', '%ae', '%aI', '%ce', '%cI'].join('%x1f');
  const log = await git(project, 'log', '--reverse', `--max-count=${COMMITS_MAX}`, `--format=${format}`);
  return log
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => commitLine(repository, line.split(FIELD)));
};

/** The members of the shared commit data; people are known by the first 16 hex digits of their address's SHA-256. */
const commitLine = (
  repository: string,
  [
    commit = '',
    tree,
    parents = '',
    author = '',
    authored_at,
    committer = '',
    committed_at,
  ]: readonly string[],
): string =>
  JSON.stringify({
    repository,
    commit,
    tree,
    parents: parents.split(' ').filter((parent) => parent !== ''),
    author: person(author),
    authored_at,
    committer: person(committer),
    committed_at,
  });

const person = (address: string): string => hash('sha256', address).slice(0, 16);

/** `owner/name` of the remote, else the folder's name; of the characters that a receipt's id may have. */
const repositoryName = async (project: string): Promise<string> => {
  const remote = await git(project, 'config', '--get', 'remote.origin.url').catch(() => '');
  const path = remote
    .trim()
    .replace(/\.git$/, '')
    .split(/[/:]/)
    .filter((part) => part !== '')
    .slice(-2)
    .join('/');
  return (path || basename(project)).replace(/[^A-Za-z0-9._/-]/g, '-').slice(0, 60);
};
