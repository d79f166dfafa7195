// From a TypeBox schema to the faults of a value. One ajv instance serves all domains; a schema is compiled when
// it is first asked, so that a process pays only for the events it meets. ajv's own wording never leaves here:
// every message says what to give instead, taken from the `description` beside the rule.

import { type TSchema, Type } from '@sinclair/typebox';
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import type { EventSchema, Fault } from './event.ts';
import { isInstant } from './ids.ts';

/** More faults than this are not listed: a hostile document shall not buy a long answer. */
const FAULTS_MAX = 20;
const NONE: readonly Fault[] = Object.freeze([]);

let shared: Ajv | undefined;

const ajv = (): Ajv => {
  if (!shared) {
    shared = new Ajv({ allErrors: true, verbose: true, strict: true, strictRequired: false });
    shared.addFormat('date-time', { type: 'string', validate: isInstant });
  }
  return shared;
};

// Shapes that several domains use. A description completes the sentence "give ...".

/** Text for people: any Unicode but control characters and halves of surrogate pairs. */
export const text = (max: number, description: string) =>
  Type.String({
    pattern: `^[^\\u0000-\\u001f\\u007f\\ud800-\\udfff]{1,${max}}$`,
    description: `1 to ${max} characters without control characters: ${description}`,
  });

/** Text for programs: no white space, nothing beyond ASCII. */
export const visible = (max: number, description: string) =>
  Type.String({
    pattern: `^[!-~]{1,${max}}$`,
    description: `1 to ${max} visible ASCII characters: ${description}`,
  });

export const sha256Hex = (of: string) =>
  Type.String({
    pattern: '^[0-9a-f]{64}$',
    description: `the SHA-256 of ${of} as 64 lower-case hexadecimal digits`,
  });

export const dateTime = Type.String({
  format: 'date-time',
  description:
    'an RFC 3339 date-time with its offset, of the years 0001 to 9999 in UTC, for example 2026-11-21T09:00:00Z',
});

export const tenantName = Type.String({
  pattern: '^[a-z][a-z0-9-]{1,62}$',
  description: 'the tenant: 2 to 63 of a-z, 0-9 and -, starting with a letter',
});

/** A checker for one schema: the faults of a value, none when it is sound. */
export const faultsAgainst = (schema: TSchema): ((data: unknown) => readonly Fault[]) => {
  let validate: ValidateFunction | undefined;
  return (data) => {
    validate ??= ajv().compile(schema);
    return validate(data) ? NONE : describeAll(validate.errors ?? []);
  };
};

interface Versions {
  /** What people call each version; index 0 is version 1. */
  readonly names: readonly string[];
  /** The payload of each version, in the same order. */
  readonly payloads: readonly TSchema[];
  readonly upcasters?: EventSchema['upcasters'];
}

/** How one event type is read and written, from the schemas of its versions. */
export const versioned = ({ names, payloads, upcasters = {} }: Versions): EventSchema => {
  const checks = payloads.map(faultsAgainst);
  return {
    version: names.length,
    versionNames: names,
    upcasters,
    faults: (version, data) => checks[version - 1]?.(data) ?? [unknownVersion(version, names.length)],
  };
};

const unknownVersion = (version: number, newest: number): Fault => ({
  pointer: '',
  message: `schema version ${version} is not known here; use 1 to ${newest}`,
});

const describeAll = (errors: readonly ErrorObject[]): readonly Fault[] => {
  const faults = new Map<string, Fault>();
  for (const error of errors) {
    const fault = describe(error);
    if (fault && !faults.has(fault.pointer)) faults.set(fault.pointer, fault);
    if (faults.size === FAULTS_MAX) break;
  }
  return [...faults.values()];
};

const describe = (error: ErrorObject): Fault | undefined => {
  const { instancePath, keyword, params, parentSchema } = error;
  // Raised for a member's name by the sub-schema of `propertyNames`, which is itself reported next.
  if (error.propertyName !== undefined && keyword !== 'propertyNames') return undefined;
  switch (keyword) {
    case 'required': {
      const name = String(params['missingProperty']);
      return {
        pointer: below(instancePath, name),
        message: `is missing; give ${wanted(parentSchema?.['properties']?.[name])}`,
      };
    }
    case 'additionalProperties': {
      const way = parentSchema?.['properties']?.['ext'] ? 'remove it, or move it into "ext"' : 'remove it';
      const message = `is not a member of ${wanted(parentSchema)}; ${way}`;
      return { pointer: below(instancePath, String(params['additionalProperty'])), message };
    }
    case 'propertyNames':
      return {
        pointer: below(instancePath, String(params['propertyName'])),
        message: `has a name that is kept back; ${wanted(error.schema)}`,
      };
    case 'not':
      return { pointer: instancePath, message: wanted(error.schema) };
    case 'type':
      return { pointer: instancePath, message: `is ${kindOf(error.data)}; give ${wanted(parentSchema)}` };
    default:
      return { pointer: instancePath, message: `does not fit; give ${wanted(parentSchema)}` };
  }
};

const wanted = (schema: unknown): string =>
  (schema as { readonly description?: string } | undefined)?.description ?? 'what the schema asks for';

const kindOf = (data: unknown): string => {
  if (data === null) return 'null';
  if (Array.isArray(data)) return 'an array';
  return typeof data === 'object' ? 'an object' : `a ${typeof data}`;
};

/** RFC 6901 section 3: `~` and `/` are escaped. */
const below = (pointer: string, name: string): string =>
  `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
