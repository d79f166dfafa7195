// One form for one element, whatever store it was read from: what is compared are these texts and nothing else.
//
//   value    its kind and its text, `int:5`, `float:5`, `time:1761991200000000000`: a number that became a float, or a
//            time that lost its zone, is another value, while the same moment in another zone is the same one
//   text     in Unicode's form NFC: two forms of the same characters are the same text
//   absent   NULL, null and a property that is not there are the same; inside JSON, null is a value
//   element  a JSON array of its kind, its ends, the fact that brought it in, and its fields by name in the order of
//            code units: no id that a store gives, no order in which a store answers
import { createHash } from 'node:crypto';
import { canonicalize, type JsonValue } from '#proofs/canonical.ts';

/** A value as a store holds it. `int`, `float`, `json`: as text; `time`: nanoseconds since 1970; `local-time`: without a zone. */
export type Observed =
  | {
      readonly is: 'text' | 'int' | 'float' | 'bool' | 'time' | 'local-time' | 'date' | 'json' | 'other';
      readonly text: string;
    }
  | { readonly is: 'list'; readonly items: readonly Observed[] };

/** An element as a store holds it: every property that it has beside its tenant, its id and its `seq`. */
export interface ObservedElement {
  readonly element: string;
  readonly id: string;
  readonly target: string;
  /** `undefined`: the store has no whole number there. */
  readonly seq: number | undefined;
  readonly fields: { readonly [name: string]: Observed | undefined };
}

/** Kind, id and target, as the store spells them. */
export type Ends = readonly [element: string, id: string, target: string];

export interface CanonicalElement {
  /** Different elements have different keys. */
  readonly key: string;
  readonly ends: Ends;
  readonly seq: number | undefined;
  /** Canonical values by name, in the order of names. */
  readonly fields: ReadonlyMap<string, string>;
  /** SHA-256 of all of it. */
  readonly digest: string;
}

export const canonicalValue = (value: Observed): string => {
  if (value.is === 'list') return `list:${JSON.stringify(value.items.map(canonicalValue))}`;
  if (value.is === 'json') return `json:${canonicalJson(value.text).normalize('NFC')}`;
  return `${value.is}:${value.text.normalize('NFC')}`;
};

/** Text that is no JSON stands for itself: it differs from all that is. */
const canonicalJson = (text: string): string => {
  try {
    return canonicalize(JSON.parse(text) as JsonValue);
  } catch {
    return text;
  }
};

export const elementKey = (element: string, id: string, target: string): string =>
  JSON.stringify([element, id, target]).normalize('NFC');

export const keyParts = (key: string): Ends => JSON.parse(key) as [string, string, string];

const TAG = 'prov-ledger/attested-element/v1';

export const canonicalElement = ({ element, id, target, seq, fields }: ObservedElement): CanonicalElement => {
  const key = elementKey(element, id, target);
  const held = Object.entries(fields)
    .filter((entry): entry is [string, Observed] => entry[1] !== undefined)
    .map(([name, value]) => [name.normalize('NFC'), canonicalValue(value)] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const digest = createHash('sha256')
    .update(JSON.stringify([TAG, key, seq ?? null, held]))
    .digest('hex');
  return { key, ends: [element, id, target], seq, fields: new Map(held), digest };
};
