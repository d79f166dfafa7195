// The declarative templates of a mapping file, compiled once into closures. There is no code in a template and no
// way out of it: it reads the line, and constants, and nothing else.
//
//   "git:${repository}@${commit}"            text with values put in; `$${` stands for a plain `${`
//   { "$from": "path" }                       the value as it is, whatever its type
//   { "$const": value }                       the value itself, unread
//   { "$pick": ["a", "b"], "$of": "path" }    an object of those members that are there; of the line unless told
//   { "$map": "path", "$to": template }       an array, each item through the template, which sees it as `@`
//   { "$join": template, "$with": ", " }      the items of an array as one text
//   { "$first": [template, ...] }             the first that is there
//   { "$lookup": template, "$in": {...}, "$else": template }     a table from texts to values
//   { "$when": "path", "$is": value, "$then": template, "$else": template }    without "$is": when it is there
//   { "$optional": template }                 the member is left out when the line does not have it
//   anything else                             an object or array of templates, or a constant
import type { Fault } from '#schemas/event.ts';
import { compilePath, type Read, type Scope } from './path.ts';

/** Why one line cannot be mapped. */
export class Unmappable extends Error {
  override readonly name = 'Unmappable';
}

export interface Template {
  /** `undefined`: what it needs is not in the line. Throws `Unmappable`. */
  readonly evaluate: Read;
  readonly optional: boolean;
}

/** Where in the mapping file a template stands, and where its faults go. */
export interface Place {
  readonly pointer: string;
  readonly insideMap: boolean;
  readonly faults: Fault[];
}

type Spec = { readonly [name: string]: unknown };

const NOTHING: Template = { evaluate: () => undefined, optional: false };

const fault = ({ pointer, faults }: Place, message: string): Template => {
  faults.push({ pointer, message });
  return NOTHING;
};

export const below = (place: Place, name: string | number): Place => ({
  ...place,
  pointer: `${place.pointer}/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`,
});

export const compileTemplate = (template: unknown, place: Place): Template => {
  if (typeof template === 'string') return compileText(template, place);
  if (Array.isArray(template)) return compileArray(template, place);
  if (typeof template === 'object' && template !== null) return compileObject(template as Spec, place);
  return constant(template);
};

const constant = (value: unknown): Template => ({ evaluate: () => value, optional: false });

const reader = (path: unknown, place: Place): Template => {
  if (typeof path !== 'string') return fault(place, 'give a path as a text, for example "author.name"');
  const read = compilePath(path, place.insideMap);
  return typeof read === 'function' ? { evaluate: read, optional: false } : fault(place, read.fault);
};

/** Evaluates what must be there. */
const need = ({ evaluate, optional }: Template, scope: Scope): unknown => {
  const value = evaluate(scope);
  if (value === undefined && !optional)
    throw new Unmappable(`has no "${scope.missing}", which the mapping needs`);
  return value;
};

const HOLE = /\$\$\{|\$\{([^}]*)\}/g;

const compileText = (template: string, place: Place): Template => {
  const texts: string[] = [''];
  const reads: Read[] = [];
  let end = 0;
  for (const match of template.matchAll(HOLE)) {
    texts[reads.length] += template.slice(end, match.index) + (match[1] === undefined ? '${' : '');
    end = match.index + match[0].length;
    if (match[1] === undefined) continue;
    reads.push(reader(match[1], place).evaluate);
    texts[reads.length] = '';
  }
  texts[reads.length] += template.slice(end);
  if (/\$\{[^}]*$/.test(template.slice(end)))
    return fault(place, 'has a "${" without its "}"; close it, or write "$${" for the plain characters');
  if (reads.length === 0) return constant(texts[0]);
  return { evaluate: (scope) => interpolate(texts, reads, scope), optional: false };
};

const interpolate = (texts: readonly string[], reads: readonly Read[], scope: Scope): string | undefined => {
  let text = texts[0] as string;
  for (let index = 0; index < reads.length; index += 1) {
    const value = (reads[index] as Read)(scope);
    if (value === undefined) return undefined;
    text += plain(value, 'put into a text') + (texts[index + 1] as string);
  }
  return text;
};

const plain = (value: unknown, use: string): string => {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw new Unmappable(
    `has ${Array.isArray(value) ? 'an array' : 'an object'} where the mapping needs a text, a number or true or false to be ${use}`,
  );
};

const compileArray = (template: readonly unknown[], place: Place): Template => {
  const items = template.map((item, index) => compileTemplate(item, below(place, index)));
  return {
    evaluate: (scope) => items.map((item) => need(item, scope)).filter((value) => value !== undefined),
    optional: false,
  };
};

const compileObject = (template: Spec, place: Place): Template => {
  const names = Object.keys(template);
  const operator = names.find((name) => Object.hasOwn(OPERATORS, name));
  if (operator) return compileOperator(operator, template, place);
  const unknown = names.find((name) => name.startsWith('$'));
  if (unknown !== undefined) {
    return fault(
      below(place, unknown),
      `is not an operator; known are ${Object.keys(OPERATORS).join(', ')} ($const holds a member named with a $)`,
    );
  }
  // In canonical order, so that the receipt need not be sorted again when it is hashed.
  const members = names
    .sort()
    .map((name) => [name, compileTemplate(template[name], below(place, name))] as const);
  return {
    optional: false,
    evaluate: (scope) => {
      const object: { [name: string]: unknown } = {};
      for (const [name, member] of members) {
        const value = need(member, scope);
        if (value !== undefined) object[name] = value;
      }
      return object;
    },
  };
};

interface Operator {
  /** Members that may stand beside the operator. */
  readonly beside: readonly string[];
  readonly compile: (spec: Spec, place: Place) => Template;
}

const compileOperator = (operator: string, spec: Spec, place: Place): Template => {
  const { beside, compile } = OPERATORS[operator] as Operator;
  for (const name of Object.keys(spec)) {
    if (name !== operator && !beside.includes(name)) {
      return fault(
        below(place, name),
        `does not go with ${operator}; ${beside.length > 0 ? `beside it may stand ${beside.join(', ')}` : 'it stands alone'}`,
      );
    }
  }
  return compile(spec, place);
};

const at = (spec: Spec, name: string, place: Place): Template =>
  compileTemplate(spec[name], below(place, name));

/** The template of an optional member of an operator. */
const otherwise = (spec: Spec, place: Place): Template =>
  Object.hasOwn(spec, '$else') ? at(spec, '$else', place) : NOTHING;

const compilePick = (spec: Spec, place: Place): Template => {
  const names = spec['$pick'];
  if (!Array.isArray(names) || names.length === 0 || !names.every((name) => typeof name === 'string')) {
    return fault(below(place, '$pick'), 'give an array of member names');
  }
  const from = reader(spec['$of'] ?? '.', below(place, '$of'));
  const sorted = [...(names as readonly string[])].sort();
  return {
    optional: false,
    evaluate: (scope) => {
      const source = from.evaluate(scope);
      if (source === undefined) return undefined;
      if (typeof source !== 'object' || Array.isArray(source))
        throw new Unmappable('has no object where the mapping picks members');
      const picked: { [name: string]: unknown } = {};
      for (const name of sorted)
        if (Object.hasOwn(source as object, name)) picked[name] = (source as Spec)[name];
      return picked;
    },
  };
};

const compileMap = (spec: Spec, place: Place): Template => {
  const from = reader(spec['$map'], below(place, '$map'));
  if (!Object.hasOwn(spec, '$to'))
    return fault(place, 'needs "$to", the template of one item (which it sees as "@")');
  const to = at(spec, '$to', { ...place, insideMap: true });
  return {
    optional: false,
    evaluate: (scope) => {
      const items = from.evaluate(scope);
      if (items === undefined) return undefined;
      if (!Array.isArray(items))
        throw new Unmappable(`has no array at "${String(spec['$map'])}", which the mapping goes through`);
      return items
        .map((item: unknown) => need(to, { source: scope.source, item, missing: '' }))
        .filter((value) => value !== undefined);
    },
  };
};

const compileJoin = (spec: Spec, place: Place): Template => {
  const list = at(spec, '$join', place);
  const separator = spec['$with'] ?? '';
  if (typeof separator !== 'string')
    return fault(below(place, '$with'), 'give the text that goes between the items');
  return {
    optional: false,
    evaluate: (scope) => {
      const items = list.evaluate(scope);
      if (items === undefined) return undefined;
      if (!Array.isArray(items)) throw new Unmappable('has no array where the mapping joins items');
      return items.map((item) => plain(item, 'joined')).join(separator);
    },
  };
};

const compileFirst = (spec: Spec, place: Place): Template => {
  const choices = spec['$first'];
  if (!Array.isArray(choices) || choices.length === 0)
    return fault(below(place, '$first'), 'give an array of templates');
  const templates = choices.map((choice, index) =>
    compileTemplate(choice, below(below(place, '$first'), index)),
  );
  return {
    optional: false,
    evaluate: (scope) => {
      for (const { evaluate } of templates) {
        const value = evaluate(scope);
        if (value !== undefined) return value;
      }
      return undefined;
    },
  };
};

const compileLookup = (spec: Spec, place: Place): Template => {
  const key = at(spec, '$lookup', place);
  const table = spec['$in'];
  if (typeof table !== 'object' || table === null || Array.isArray(table)) {
    return fault(below(place, '$in'), 'give an object from each possible text to what it stands for');
  }
  const fallback = otherwise(spec, place);
  return {
    optional: false,
    evaluate: (scope) => {
      const found = key.evaluate(scope);
      const text = found === undefined ? undefined : plain(found, 'looked up');
      if (text !== undefined && Object.hasOwn(table, text)) return (table as Spec)[text];
      if (fallback !== NOTHING) return fallback.evaluate(scope);
      if (text === undefined) return undefined;
      throw new Unmappable(
        `has ${JSON.stringify(text.slice(0, 80))}, which the table of the mapping does not know; known are ${Object.keys(table).join(', ')}`,
      );
    },
  };
};

const compileWhen = (spec: Spec, place: Place): Template => {
  const condition = reader(spec['$when'], below(place, '$when'));
  if (!Object.hasOwn(spec, '$then'))
    return fault(place, 'needs "$then", the template for when the condition holds');
  const wanted = spec['$is'];
  if (typeof wanted === 'object' && wanted !== null)
    return fault(below(place, '$is'), 'compare with a text, a number, true or false');
  const anything = !Object.hasOwn(spec, '$is');
  const then = at(spec, '$then', place);
  const other = otherwise(spec, place);
  return {
    // Whatever the chosen branch needs, it demands itself; no "$else" means that nothing is said then.
    optional: true,
    evaluate: (scope) => {
      const value = condition.evaluate(scope);
      if (anything ? value !== undefined : value === wanted) return need(then, scope);
      return other === NOTHING ? undefined : need(other, scope);
    },
  };
};

const OPERATORS: { readonly [name: string]: Operator } = {
  $from: { beside: [], compile: (spec, place) => reader(spec['$from'], below(place, '$from')) },
  $const: { beside: [], compile: (spec) => constant(spec['$const']) },
  $optional: { beside: [], compile: (spec, place) => ({ ...at(spec, '$optional', place), optional: true }) },
  $pick: { beside: ['$of'], compile: compilePick },
  $map: { beside: ['$to'], compile: compileMap },
  $join: { beside: ['$with'], compile: compileJoin },
  $first: { beside: [], compile: compileFirst },
  $lookup: { beside: ['$in', '$else'], compile: compileLookup },
  $when: { beside: ['$is', '$then', '$else'], compile: compileWhen },
};
