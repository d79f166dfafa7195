// Where a value stands in a source line: `name`, `name.inner`, `list.0`, or `.` for the whole line. A name that has a
// dot of its own is reached by a JSON Pointer (RFC 6901), `/a.b/c`. Inside `$map`, `@` is the item and `@.name` a
// member of it. Only own members are seen: `constructor` in a path finds nothing that the line did not say.

/** What templates are evaluated against. */
export interface Scope {
  readonly source: unknown;
  /** The item of the innermost `$map`. */
  readonly item?: unknown;
  /** The last path that led to nothing, for the error message. */
  missing: string;
}

export type Read = (scope: Scope) => unknown;

/** A reader of one path, or why the text is not one. JSON null counts as absent: both are `undefined`. */
export const compilePath = (text: string, insideMap: boolean): Read | { readonly fault: string } => {
  const fromItem = text === '@' || text.startsWith('@.');
  if (fromItem && !insideMap)
    return { fault: `"${text}" means the item of a $map; use it inside "$to" only` };
  const steps = stepsOf(fromItem ? text.slice(1) || '.' : text);
  if (!steps) {
    return {
      fault: `"${text}" is not a path; write names joined by dots (a.b, list.0), "." for the whole line, or a JSON Pointer (/a.b)`,
    };
  }
  return (scope) => {
    let value = fromItem ? scope.item : scope.source;
    for (const step of steps) value = member(value, step);
    if (value !== undefined && value !== null) return value;
    scope.missing = text;
    return undefined;
  };
};

const stepsOf = (text: string): readonly string[] | undefined => {
  if (text === '.') return [];
  if (text.startsWith('/')) {
    if (/~(?![01])/.test(text)) return undefined;
    return text
      .slice(1)
      .split('/')
      .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
  }
  const steps = (text.startsWith('.') ? text.slice(1) : text).split('.');
  return steps.every((step) => step !== '' && !/[${}\s]/.test(step)) ? steps : undefined;
};

const member = (value: unknown, name: string): unknown => {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as { readonly [name: string]: unknown })[name];
};
