// A mapping file turns the objects of a source (one NDJSON line each) into receipts, by declaration: what it can say
// is in template.ts. It is compiled once into closures; mapping a line then costs about as much as parsing it.
import type { Fault } from '#schemas/event.ts';
import type { JsonObject } from '#schemas/receipts.ts';
import type { Scope } from './path.ts';
import { below, compileTemplate, type Place, Unmappable } from './template.ts';

export const MAPPING_FORMAT = 'prov-ledger/mapping/1';

export type Mapped =
  | { readonly ok: true; readonly receipt: JsonObject }
  /** `message` reads on from "the line": what it lacks or has too much, and what the mapping wanted. */
  | { readonly ok: false; readonly message: string };

export interface Mapping {
  readonly description: string;
  /** Pure and free of state: the same value gives an equal receipt. The receipt may share parts with the value. */
  readonly map: (value: unknown) => Mapped;
}

export type CompiledMapping =
  | { readonly ok: true; readonly mapping: Mapping }
  | { readonly ok: false; readonly faults: readonly Fault[] };

/** Compiles the parsed content of a mapping file; every fault has the place in the file and what to write there. */
export const compileMapping = (content: unknown): CompiledMapping => {
  const faults: Fault[] = [];
  if (!isObject(content)) {
    return {
      ok: false,
      faults: [
        {
          pointer: '',
          message: `is no object; a mapping is {"format": "${MAPPING_FORMAT}", "receipt": {...}}`,
        },
      ],
    };
  }
  if (content['format'] !== MAPPING_FORMAT)
    faults.push({ pointer: '/format', message: `is not known; give "${MAPPING_FORMAT}"` });
  const { description = '' } = content;
  if (typeof description !== 'string')
    faults.push({ pointer: '/description', message: 'give a text, or leave it out' });
  for (const name of Object.keys(content)) {
    if (!['format', 'description', 'receipt'].includes(name))
      faults.push({ pointer: `/${name}`, message: 'is not a member of a mapping; remove it' });
  }
  const receipt = compileReceipt(content['receipt'], { pointer: '/receipt', insideMap: false, faults });
  return faults.length > 0
    ? { ok: false, faults }
    : { ok: true, mapping: { description: String(description), map: mapWith(receipt) } };
};

const compileReceipt = (template: unknown, place: Place) => {
  if (!isObject(template))
    place.faults.push({
      pointer: place.pointer,
      message: 'is missing; give the template of the receipt, an object',
    });
  const compiled = compileTemplate(template ?? {}, place);
  if (compiled.optional)
    place.faults.push({
      pointer: below(place, '$optional').pointer,
      message: 'a line always gives a receipt; use $optional for its members',
    });
  return compiled.evaluate;
};

const mapWith =
  (evaluate: (scope: Scope) => unknown) =>
  (value: unknown): Mapped => {
    const scope: Scope = { source: value, missing: '' };
    try {
      const receipt = evaluate(scope);
      if (isObject(receipt)) return { ok: true, receipt };
      return {
        ok: false,
        message:
          receipt === undefined
            ? `has no "${scope.missing}", which the mapping needs`
            : 'does not map to an object; a receipt is one',
      };
    } catch (error) {
      if (error instanceof Unmappable) return { ok: false, message: error.message };
      throw error;
    }
  };

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
