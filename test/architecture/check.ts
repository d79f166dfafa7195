// The rules applied to a tree of files: a pure function, so that the test can show it failing.

import {
  builtins,
  domainDocument,
  emptyNames,
  impure,
  loaders,
  otherFolders,
  packages,
  roles,
  rooms,
} from './rules.ts';
import { COMPUTED, type Import, importsOf, namesInConstant, type Token, tokensOf } from './tokens.ts';

export type Tree = {
  /** Path from the project's root, with forward slashes, to the file's text. */
  readonly files: ReadonlyMap<string, string>;
  /** Every folder, the empty ones too. */
  readonly folders: ReadonlySet<string>;
};

type Source = {
  readonly path: string;
  readonly tokens: readonly Token[];
  readonly imports: readonly Import[];
};

/** Every breach of the rules, one line each: the file, what is wrong, what to do. */
export function violations(tree: Tree): string[] {
  const { sources, unreadable } = readSources(tree);
  const domains = registered(sources, 'schemas');
  return [
    ...unreadable,
    ...emptiness(tree, sources, domains),
    ...strangeFolders(tree),
    ...[...tree.files.keys()].flatMap(namelessFile),
    ...Object.entries(rooms).flatMap(([room, { law }]) => lawOf(tree, room, law)),
    ...sources.flatMap((source) => source.imports.flatMap((one) => importFault(source.path, one))),
    ...sources.flatMap((source) => environmentFault(source)),
    ...sources.flatMap((source) => roleFile(source, domains, across(sources, roomOf(source.path)))),
    ...[...tree.files.keys()].flatMap((path) =>
      strayTable(path, [...domains, ...across(sources, 'projectors')]),
    ),
    ...domains.flatMap((domain) => domainParts(tree, sources, domain)),
    ...Object.entries(roles).flatMap(([role, { parts }]) =>
      across(sources, role).flatMap((name) => parts.flatMap((part) => missingPart(tree, name, part))),
    ),
    ...registeredNowhere(sources, domains),
  ];
}

/** How many files of code the check looked at, by room. */
export function sourceCounts(tree: Tree): Map<string, number> {
  const counts = new Map<string, number>();
  for (const path of tree.files.keys()) {
    if (isSource(path)) counts.set(roomOf(path), (counts.get(roomOf(path)) ?? 0) + 1);
  }
  return counts;
}

const isSource = (path: string): boolean => /\.(ts|mts|mjs|js)$/.test(path) && roomOf(path) in rooms;
const roomOf = (path: string): string => path.split('/')[0] ?? '';
const stem = (path: string): string => path.split('/').at(-1)?.split('.')[0] ?? '';

function readSources(tree: Tree): { sources: Source[]; unreadable: string[] } {
  const sources: Source[] = [];
  const unreadable: string[] = [];
  for (const [path, text] of tree.files) {
    if (!isSource(path)) continue;
    try {
      const tokens = tokensOf(text);
      sources.push({ path, tokens, imports: importsOf(tokens) });
    } catch (error) {
      unreadable.push(`${path}: cannot be read (${(error as Error).message})`);
    }
  }
  return { sources, unreadable };
}

// --- nothing passes by not being there

function emptiness(tree: Tree, sources: readonly Source[], domains: readonly string[]): string[] {
  const counts = new Map(
    Object.keys(rooms).map((room) => [room, sources.filter(({ path }) => roomOf(path) === room).length]),
  );
  const missing = Object.entries(rooms).filter(
    ([room, { later }]) => later !== true && counts.get(room) === 0,
  );
  const empty = [...tree.folders].filter(
    (folder) => ![...tree.files.keys()].some((path) => path.startsWith(`${folder}/`)),
  );
  return [
    ...missing.map(([room]) => `${room}/: no source file was found in it`),
    ...empty.map((folder) => `${folder}/: empty; a folder appears with its first file`),
    ...(domains.length === 0 ? ['schemas/index.ts: lists no domain in `domains`'] : []),
  ];
}

function strangeFolders(tree: Tree): string[] {
  const top = new Set(
    [...tree.files.keys(), ...tree.folders].filter((path) => path.includes('/')).map(roomOf),
  );
  return [...top]
    .filter((folder) => !(folder in rooms) && !otherFolders.includes(folder))
    .map((folder) => `${folder}/: not a room of the house; see test/architecture/rules.ts`);
}

function namelessFile(path: string): string[] {
  const bad = path.split(/[/.-]/).find((part) => emptyNames.test(part));
  return bad === undefined ? [] : [`${path}: "${bad}" says nothing; name it after what it holds`];
}

function lawOf(tree: Tree, room: string, law: string | undefined): string[] {
  const present = [...tree.files.keys()].some((path) => roomOf(path) === room);
  if (law === undefined || !present) return [];
  const text = tree.files.get(`${room}/${law}`);
  if (text === undefined) return [`${room}/: its law file ${law} is missing`];
  return /^\s*\/[/*]/.test(text)
    ? []
    : [`${room}/${law}: must open with the law of its folder, in a comment`];
}

// --- imports

function importFault(path: string, { specifier, typeOnly, line }: Import): string[] {
  const room = roomOf(path);
  const fault = (what: string): string[] => [`${path}:${line}: ${what}`];
  if (specifier === COMPUTED)
    return room === 'test' || loaders.includes(path)
      ? []
      : fault('imports a computed path, which no rule can look at');
  if (specifier.startsWith('.')) {
    return roomOf(resolvePath(path, specifier)) === room
      ? []
      : fault(`leaves its room by ${specifier}: import #room/... instead`);
  }
  if (specifier.startsWith('#'))
    return roomFault(room, specifier.slice(1).split('/')[0] ?? '', typeOnly).flatMap(fault);
  if (room === 'test') return [];
  if (specifier.startsWith('node:')) {
    const allowed = builtins[specifier.split('/')[0] ?? ''];
    return allowed === undefined || isWithin(path, allowed)
      ? []
      : fault(`imports ${specifier}; allowed in: ${allowed.join(', ') || 'nowhere'}`);
  }
  const name = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
  const home = packages[name];
  if (home === undefined) return fault(`imports ${name}, which has no room in test/architecture/rules.ts`);
  return isWithin(path, home) ? [] : fault(`imports ${name}; its room is ${home.join(', ')}`);
}

function roomFault(from: string, to: string, typeOnly: boolean): string[] {
  const rule = rooms[from];
  if (rule === undefined || from === to || rule.imports.includes(to)) return [];
  if (typeOnly && rule.typesFrom?.includes(to) === true) return [];
  return [`${from} may not import from ${to}; allowed: ${rule.imports.join(', ') || 'none'}`];
}

const isWithin = (path: string, folders: readonly string[]): boolean =>
  folders.some((folder) => path.startsWith(`${folder}/`));

function resolvePath(from: string, relative: string): string {
  return new URL(relative, `file:///${from}`).pathname.slice(1);
}

function environmentFault({ path, tokens }: Source): string[] {
  const room = roomOf(path);
  if (room === 'deploy' || room === 'test') return [];
  const at = chainAt(tokens, ['process', 'env']);
  return at === undefined
    ? []
    : [`${path}:${at}: reads the environment; only deploy does, and passes on what it read`];
}

// --- domains

function registered(sources: readonly Source[], role: string): string[] {
  const index = sources.find(({ path }) => path === `${role}/index.ts`);
  return index === undefined ? [] : (namesInConstant(index.tokens, roles[role]?.list ?? '') ?? []);
}

/** What the facts of many domains meet in, as the role lists it. */
function across(sources: readonly Source[], role: string): readonly string[] {
  const index = sources.find(({ path }) => path === `${role}/index.ts`);
  const list = roles[role]?.across;
  return index === undefined || list === undefined ? [] : (namesInConstant(index.tokens, list) ?? []);
}

// A role says in its index what a domain does not have there: `export const absent = { receipts: 'no saga: ...' }`.
function absentIn(sources: readonly Source[], role: string): string[] {
  const index = sources.find(({ path }) => path === `${role}/index.ts`);
  return index === undefined ? [] : (namesInConstant(index.tokens, 'absent') ?? []);
}

function domainParts(tree: Tree, sources: readonly Source[], domain: string): string[] {
  const present = Object.entries(roles).filter(([role]) => sources.some(({ path }) => roomOf(path) === role));
  const lacks = present.flatMap(([role, { parts, list }]) => {
    if (absentIn(sources, role).includes(domain)) return [];
    const listed = registered(sources, role).includes(domain);
    const gaps = listed
      ? []
      : [`${role}/index.ts: ${domain} is neither in \`${list}\` nor, with its reason, in \`absent\``];
    return [...gaps, ...parts.flatMap((part) => missingPart(tree, domain, part))];
  });
  return [...lacks, ...missingPart(tree, domain, domainDocument)];
}

function missingPart(tree: Tree, domain: string, part: string): string[] {
  const path = part.replace('*', domain);
  const alternatives = [path, path.replace(/\.test\.ts$/, '.integration.test.ts')];
  return alternatives.some((file) => tree.files.has(file))
    ? []
    : [`${path}: missing; the domain ${domain} needs it`];
}

function registeredNowhere(sources: readonly Source[], domains: readonly string[]): string[] {
  return Object.keys(roles).flatMap((role) =>
    [...registered(sources, role), ...absentIn(sources, role)]
      .filter((name) => !domains.includes(name))
      .map((name) => `${role}/index.ts: ${name} is not a domain of schemas/index.ts`),
  );
}

// Directly in a role's folder: machinery, or a registered domain, which is pure and keeps to itself.
function roleFile(source: Source, domains: readonly string[], crossing: readonly string[]): string[] {
  const { path } = source;
  const machinery = rooms[roomOf(path)]?.machinery;
  if (machinery === undefined || path.split('/').length !== 2 || machinery.includes(stem(path))) return [];
  if (crossing.includes(stem(path))) return impurity(source);
  if (!domains.includes(stem(path)))
    return [`${path}: neither machinery nor a domain listed in schemas/index.ts`];
  return [
    ...impurity(source),
    ...(['schemas', 'commands'].includes(roomOf(path)) ? meetings(source, domains) : []),
  ];
}

function impurity({ path, tokens, imports }: Source): string[] {
  const names = impure.flatMap((name) => {
    const at = chainAt(tokens, name.split('.'));
    return at === undefined
      ? []
      : [`${path}:${at}: ${name} in a domain file; it arrives in the command or the fact`];
  });
  const now = tokens.find(
    (token, index) =>
      token.text === 'Date' &&
      ['new Date ( )', 'new Date ;'].some((form) => follows(tokens, index - 1, form)),
  );
  const reach = imports.filter(({ specifier }) => specifier.startsWith('node:'));
  return [
    ...names,
    ...(now === undefined
      ? []
      : [`${path}:${now.line}: new Date() in a domain file; time arrives in the command or the fact`]),
    ...reach.map(({ specifier, line }) => `${path}:${line}: ${specifier} in a domain file, which is pure`),
  ];
}

function meetings({ path, imports }: Source, domains: readonly string[]): string[] {
  return imports
    .filter(
      ({ specifier }) =>
        !specifier.startsWith('node:') && domains.includes(stem(specifier)) && stem(specifier) !== stem(path),
    )
    .map(
      ({ specifier, line }) =>
        `${path}:${line}: imports ${specifier}; two domains meet only in projectors and sagas`,
    );
}

function strayTable(path: string, domains: readonly string[]): string[] {
  const table = /^projectors\/([^/]+)\.sql$/.exec(path)?.[1];
  if (table === undefined || domains.some((domain) => table === domain || table.startsWith(`${domain}_`)))
    return [];
  return [
    `${path}: a table is named after its domain: ${domains.map((domain) => `${domain}.sql, ${domain}_*.sql`).join(', ')}`,
  ];
}

/** The line of the first `a.b` in the text; a property of that name, or a key in an object, is something else. */
function chainAt(tokens: readonly Token[], chain: readonly string[]): number | undefined {
  const found = tokens.find((token, index) => {
    if (token.type !== 'word' || token.text !== chain[0]) return false;
    const isMember = tokens[index - 1]?.text === '.' && !methods.has(token.text);
    const isKey = chain.length === 1 && tokens[index + 1]?.text === ':' && tokens[index - 1]?.text !== '?';
    return !isMember && !isKey && follows(tokens, index, chain.join(' . '));
  });
  return found?.line;
}

// Forbidden as a method of whatever object.
const methods = new Set(impure.filter((name) => /^(to)?[lL]ocale/.test(name)));

const follows = (tokens: readonly Token[], index: number, form: string): boolean =>
  form.split(' ').every((text, offset) => tokens[index + offset]?.text === text);
