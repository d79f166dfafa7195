// What a registry of schemas holds for this ledger: one subject per event, named like the event (Confluent's
// RecordNameStrategy), so that an event has one history of schemas whatever topic it is on.
import { avroSchema, opaqueSchema, unreadable } from '../codec.ts';
import { domains } from '../index.ts';
import { type ReleasedSet, released } from './released.ts';

/** How a subject may change: readers of any version read what was written with any other. */
export const COMPATIBILITY = 'FULL_TRANSITIVE';

export interface Subject {
  /** The event's type. */
  readonly name: string;
  /** The Avro schema as a registry takes it. */
  readonly schema: string;
}

/** Every event of every domain, in the order of the domains, and the form of what is none of them. */
export const subjects = (): readonly Subject[] =>
  [...domains.flatMap(({ name }) => avroSchema(name)), opaqueSchema].map((record) => ({
    name: `${record.namespace}.${record.name}`,
    schema: JSON.stringify(record),
  }));

/** The subject of an event; `undefined` when it has none. */
export const subjectOf = (type: string): Subject | undefined => {
  bySubject ??= new Map(subjects().map((subject) => [subject.name, subject]));
  return bySubject.get(type);
};

let bySubject: ReadonlyMap<string, Subject> | undefined;

export interface SubjectChange {
  readonly subject: string;
  readonly kind: 'unchanged' | 'new' | 'compatible' | 'breaking';
  /** For `breaking`: what cannot be read any more, and by whom. */
  readonly reasons: readonly string[];
}

/** The schemas as they are against all that were ever released: what a release would change, and whether it may. */
export const changes = (
  now: readonly Subject[] = subjects(),
  before: ReleasedSet = released(),
): readonly SubjectChange[] => {
  const names = new Set(now.map(({ name }) => name));
  const gone = Object.keys(before)
    .filter((name) => !names.has(name))
    .map(
      (subject): SubjectChange => ({
        subject,
        kind: 'breaking',
        reasons: ['it was released and is not there any more; facts of it must stay readable: put it back'],
      }),
    );
  return [...now.map((subject) => changeOf(subject, before[subject.name] ?? [])), ...gone];
};

const changeOf = ({ name, schema }: Subject, versions: readonly unknown[]): SubjectChange => {
  const last = versions.at(-1);
  if (last === undefined) return { subject: name, kind: 'new', reasons: [] };
  if (JSON.stringify(last) === schema) return { subject: name, kind: 'unchanged', reasons: [] };
  const reasons = versions.flatMap((old, index) => {
    const forwards = unreadable(JSON.parse(schema), old);
    const backwards = unreadable(old, JSON.parse(schema));
    return [
      ...(forwards === undefined ? [] : [`what version ${index + 1} wrote cannot be read: ${forwards}`]),
      ...(backwards === undefined ? [] : [`version ${index + 1} cannot read what is written: ${backwards}`]),
    ];
  });
  return { subject: name, kind: reasons.length > 0 ? 'breaking' : 'compatible', reasons };
};
