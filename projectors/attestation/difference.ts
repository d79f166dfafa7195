// In what two lists of elements differ: which element, which field of it, and how. Lists may hold an element twice.
import type { CanonicalElement } from './element.ts';
import { elementKey, keyParts } from './element.ts';

/** `missing`: the right store lacks it. `extra`: the left one does. `order`: the same items in another order. */
export type DifferenceClass = 'missing' | 'extra' | 'value' | 'order';

export interface Difference {
  readonly class: DifferenceClass;
  /** The element's key. */
  readonly element: string;
  /** `seq`, `direction` of an edge, or a property; absent where the whole element is concerned. */
  readonly field?: string;
  /** The canonical values of the field. */
  readonly left?: string;
  readonly right?: string;
  /** Of the element in each store. */
  readonly leftDigest?: string;
  readonly rightDigest?: string;
}

/** All differences, by element. */
export const differences = (
  left: readonly CanonicalElement[],
  right: readonly CanonicalElement[],
): readonly Difference[] => {
  const there = grouped(left);
  const here = grouped(right);
  const found: Difference[] = [];
  for (const key of [...new Set([...there.keys(), ...here.keys()])].sort())
    found.push(...ofElement(key, there.get(key) ?? [], here.get(key) ?? []));
  return turned(found);
};

const grouped = (elements: readonly CanonicalElement[]): ReadonlyMap<string, readonly CanonicalElement[]> => {
  const groups = new Map<string, CanonicalElement[]>();
  for (const element of elements) {
    const group = groups.get(element.key);
    if (group) group.push(element);
    else groups.set(element.key, [element]);
  }
  return groups;
};

/** What is equal goes away in pairs; of the rest, each has a partner, is missing, or is one too many. */
const ofElement = (
  element: string,
  left: readonly CanonicalElement[],
  right: readonly CanonicalElement[],
): readonly Difference[] => {
  const rest = [...right];
  const unmatched = left.filter(({ digest }) => {
    const at = rest.findIndex((each) => each.digest === digest);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
  const pairs = Math.min(unmatched.length, rest.length);
  return [
    ...unmatched.slice(0, pairs).flatMap((each, at) => fieldsApart(each, rest[at] as CanonicalElement)),
    ...unmatched
      .slice(pairs)
      .map(({ digest }) => ({ class: 'missing', element, leftDigest: digest }) as const),
    ...rest.slice(pairs).map(({ digest }) => ({ class: 'extra', element, rightDigest: digest }) as const),
  ];
};

const fieldsApart = (left: CanonicalElement, right: CanonicalElement): readonly Difference[] => {
  const digests = { element: left.key, leftDigest: left.digest, rightDigest: right.digest };
  const found: Difference[] = [];
  if (left.seq !== right.seq)
    found.push({
      class: 'value',
      ...digests,
      field: 'seq',
      left: `int:${left.seq}`,
      right: `int:${right.seq}`,
    });
  for (const field of [...new Set([...left.fields.keys(), ...right.fields.keys()])].sort()) {
    const values = [left.fields.get(field), right.fields.get(field)] as const;
    if (values[0] === values[1]) continue;
    found.push({
      class: sameItems(...values) ? 'order' : 'value',
      ...digests,
      field,
      ...(values[0] !== undefined && { left: values[0] }),
      ...(values[1] !== undefined && { right: values[1] }),
    });
  }
  return found;
};

const sameItems = (left: string | undefined, right: string | undefined): boolean => {
  if (!left?.startsWith('list:') || !right?.startsWith('list:')) return false;
  const sorted = (list: string): string => JSON.stringify((JSON.parse(list.slice(5)) as string[]).sort());
  return sorted(left) === sorted(right);
};

/** An edge that is missing one way and one too many the other way was turned round. */
const turned = (found: readonly Difference[]): readonly Difference[] => {
  const extra = new Map(found.filter((each) => each.class === 'extra').map((each) => [each.element, each]));
  const used = new Set<Difference>();
  const all = found.map((each): Difference => {
    if (each.class !== 'missing') return each;
    const [element, id, target] = keyParts(each.element);
    const other = target === '' ? undefined : extra.get(elementKey(element, target, id));
    if (!other || used.has(other)) return each;
    used.add(other);
    return {
      class: 'value',
      element: each.element,
      field: 'direction',
      left: 'text:out',
      right: 'text:in',
      ...(each.leftDigest !== undefined && { leftDigest: each.leftDigest }),
      ...(other.rightDigest !== undefined && { rightDigest: other.rightDigest }),
    };
  });
  return all.filter((each) => !used.has(each));
};
