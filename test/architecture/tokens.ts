// Just enough of a TypeScript reader for the architecture test: the words, marks and strings of a source text, without
// its comments. (TypeScript 7 has no parser to call from JavaScript, and type stripping would drop `import type`.)

export type Token = {
  readonly type: 'word' | 'mark' | 'string';
  /** The word, the mark (one character, or `=>`), or the string's content. */
  readonly text: string;
  readonly line: number;
};

export type Import = {
  readonly specifier: string;
  /** `import type` and `export type`: gone at run time, but a dependency all the same. */
  readonly typeOnly: boolean;
  readonly line: number;
};

const WORD = /[\p{L}\p{N}_$#@]+/uy;
const SPACE = /\s+/y;
const COMMENT = /\/\/[^\n]*|\/\*[^]*?\*\//y;
const STRING = /'(?:[^'\\\n]|\\[^])*'|"(?:[^"\\\n]|\\[^])*"/y;
const REGEX = /\/(?![*/])(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y;
const TEMPLATE_TEXT = /(?:[^`\\$]|\\[^]|\$(?!\{))*/y;

// After these a slash begins a pattern; after a name, a number or a closing bracket it divides.
const BEFORE_PATTERN = new Set(
  'return typeof case in of new delete void throw await yield else do instanceof'.split(' '),
);

/** The tokens of a source text; throws with the line when it cannot be read. */
export function tokensOf(source: string): Token[] {
  const tokens: Token[] = [];
  // One entry per open brace: true when it belongs to `${` and its end resumes the template.
  const braces: boolean[] = [];
  let at = 0;
  let line = 1;

  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(source)?.[0];
    if (found === undefined) return undefined;
    at += found.length;
    line += found.split('\n').length - 1;
    return found;
  };
  const add = (type: Token['type'], text: string, from: number = line): void =>
    void tokens.push({ type, text, line: from });
  const template = (): void => {
    const text = take(TEMPLATE_TEXT) ?? '';
    if (source[at] === '`') at += 1;
    else if (source[at] === '$') {
      at += 2;
      braces.push(true);
    } else throw new Error(`line ${line}: a template that does not end`);
    add('string', text);
  };

  while (at < source.length) {
    if (take(SPACE) !== undefined || take(COMMENT) !== undefined) continue;
    const from = line;
    const word = take(WORD);
    const text = word ?? take(STRING) ?? (patternMayBegin(tokens.at(-1)) ? take(REGEX) : undefined);
    if (word !== undefined) add('word', word);
    else if (text !== undefined) add('string', text.slice(1, -1), from);
    else {
      const mark = source.startsWith('=>', at) ? '=>' : String(source[at]);
      if (mark === "'" || mark === '"') throw new Error(`line ${line}: a string that does not end`);
      at += mark.length;
      if (mark === '{') braces.push(false);
      if (mark === '`' || (mark === '}' && braces.pop() === true)) template();
      else add('mark', mark);
    }
  }
  return tokens;
}

function patternMayBegin(previous: Token | undefined): boolean {
  if (previous === undefined) return true;
  if (previous.type === 'string') return false;
  return previous.type === 'word'
    ? BEFORE_PATTERN.has(previous.text)
    : previous.text !== ')' && previous.text !== ']';
}

/** Every import, re-export, dynamic import and require of a source text. */
export function importsOf(tokens: readonly Token[]): Import[] {
  const found: Import[] = [];
  tokens.forEach((token, index) => {
    const before = tokens[index - 1]?.text;
    if (token.type !== 'word' || before === '.') return;
    const specifier =
      token.text === 'import'
        ? imported(tokens, index)
        : token.text === 'export'
          ? reExported(tokens, index)
          : required(tokens, index);
    if (specifier === undefined) return;
    found.push({ specifier, typeOnly: tokens[index + 1]?.text === 'type', line: token.line });
  });
  return found;
}

/** What stands for a specifier that is computed at run time. */
export const COMPUTED = '(computed)';

function imported(tokens: readonly Token[], index: number): string | undefined {
  const next = tokens[index + 1];
  if (next?.type === 'string') return next.text;
  if (next?.text === '(') return tokens[index + 2]?.type === 'string' ? tokens[index + 2]?.text : COMPUTED;
  return next?.text === '.' ? undefined : afterFrom(tokens, index + 1);
}

function reExported(tokens: readonly Token[], index: number): string | undefined {
  const start = tokens[index + 1]?.text === 'type' ? index + 2 : index + 1;
  const opening = tokens[start]?.text;
  return opening === '*' || opening === '{' ? afterFrom(tokens, start) : undefined;
}

function required(tokens: readonly Token[], index: number): string | undefined {
  const [name, opening, argument] = tokens.slice(index, index + 3);
  return name?.text === 'require' && opening?.text === '(' && argument?.type === 'string'
    ? argument.text
    : undefined;
}

// `from` may itself be an imported name: it is the one that a string follows.
function afterFrom(tokens: readonly Token[], start: number): string | undefined {
  for (let index = start; index < tokens.length; index += 1) {
    const token = tokens[index];
    if (token?.text === 'from' && tokens[index + 1]?.type === 'string') return tokens[index + 1]?.text;
    if (token?.text === ';' || token?.text === '=') return undefined;
    if (token?.text === '}' && tokens[index + 1]?.text !== 'from') return undefined;
  }
  return undefined;
}

/** The names directly inside `const <name> = [a, b]` or `{ a, b: ... }`; undefined when there is no such constant. */
export function namesInConstant(tokens: readonly Token[], name: string): string[] | undefined {
  const declared = tokens.findIndex(
    (token, index) => token.text === name && tokens[index - 1]?.text === 'const',
  );
  if (declared < 0) return undefined;
  const equals = tokens.findIndex((token, index) => index > declared && token.text === '=');
  const names: string[] = [];
  let depth = 0;
  for (const [index, token] of tokens.entries()) {
    if (index <= equals) continue;
    if (token.type === 'mark' && '{[('.includes(token.text)) depth += 1;
    if (token.type === 'mark' && '}])'.includes(token.text) && (depth -= 1) === 0) break;
    const before = tokens[index - 1];
    const opens = before?.type === 'mark' && ['{', '[', ','].includes(before.text);
    if (depth === 1 && token.type !== 'mark' && opens) names.push(token.text);
  }
  return names;
}
