// Payloads of the newest version to and from Avro binary, by the schemas in <domain>.avsc: the form they take on a
// broker and in derived caches. What is hashed and stored is never this, but the canonical JSON.
//
// The bytes are one record; its event type travels beside them, as the type of every fact does. An absent member
// is null, since no payload has null at its top level; free JSON is a string marked `canonical-json`.
import { readFileSync } from 'node:fs';
import avro from 'avsc';
import { domains } from './index.ts';

interface Field {
  readonly name: string;
  readonly json: boolean;
}

interface Codec {
  readonly record: avro.Type;
  readonly fields: readonly Field[];
}

interface RecordSchema {
  readonly type: 'record';
  readonly name: string;
  readonly namespace: string;
  readonly fields: readonly { readonly name: string; readonly type: unknown }[];
}

type Members = Record<string, unknown>;

/** The Avro schema of one domain: an array of its events' records, as a schema registry takes it. */
export const avroSchema = (domain: string): readonly RecordSchema[] =>
  // Read once per process, as an import would: Node imports JSON only from files called .json.
  JSON.parse(readFileSync(new URL(`${domain}.avsc`, import.meta.url), 'utf8')) as readonly RecordSchema[];

/**
 * The record of a fact whose event this program does not know, or no longer: its canonical text as it is. With it
 * every fact has a form on the wire.
 */
export const opaqueSchema: RecordSchema = {
  type: 'record',
  name: 'OpaqueFact',
  namespace: 'ledger',
  fields: [{ name: 'payload', type: 'string' }],
};

export const OPAQUE = 'ledger.OpaqueFact';

let loaded: ReadonlyMap<string, Codec> | undefined;

const codecs = (): ReadonlyMap<string, Codec> => {
  loaded ??= new Map(
    [opaqueSchema, ...domains.flatMap(({ name }) => avroSchema(name))].map((schema) => codecOf(schema)),
  );
  return loaded;
};

const codecOf = (schema: RecordSchema): [string, Codec] => {
  const fields = schema.fields
    .map(({ name, type }) => ({ name, json: JSON.stringify(type).includes('"canonical-json"') }))
    // A payload that is read has its members in canonical order, and is written at a stroke.
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  return [`${schema.namespace}.${schema.name}`, { record: avro.Type.forSchema(schema as never), fields }];
};

const codecFor = (type: string): Codec => {
  const codec = codecs().get(type);
  if (!codec) throw new Error(`${type} has no record in its domain's .avsc: add it there`);
  return codec;
};

/** Throws when the payload is not a sound one of the event's newest version. `canonicalize` writes RFC 8785. */
export const toAvro = (type: string, payload: object, canonicalize: (value: never) => string): Buffer => {
  const { record, fields } = codecFor(type);
  const members = payload as Members;
  const flat: Members = {};
  for (const { name, json } of fields) {
    const value = members[name];
    if (value === undefined) flat[name] = null;
    else flat[name] = json ? canonicalize(value as never) : value;
  }
  return record.toBuffer(flat);
};

/** Throws when the bytes are not exactly one record of this event type. */
export const fromAvro = (type: string, bytes: Buffer): object => {
  const { record, fields } = codecFor(type);
  return membersOf(fields, record.fromBuffer(bytes) as Members, JSON.parse);
};

/** Reads records that were written with some version of an event's schema. */
export interface AvroReader {
  readonly type: string;
  /** The payload, of the newest version; throws when the bytes are not exactly one such record. */
  readonly read: (bytes: Buffer) => object;
}

/**
 * A reader for what was written with this schema; throws when it is of no event, or cannot be read as that event.
 * `parse` reads JSON text from outside, and throws on what may not come in.
 */
export const avroReader = (writer: unknown, parse: (text: string) => unknown): AvroReader => {
  const written = avro.Type.forSchema(writer as never);
  const type = written.name ?? '';
  const { record, fields } = codecFor(type);
  const resolver = record.createResolver(written);
  return { type, read: (bytes) => membersOf(fields, record.fromBuffer(bytes, resolver) as Members, parse) };
};

/** Why what was written with the one schema cannot be read with the other; `undefined` when it can. */
export const unreadable = (reader: unknown, writer: unknown): string | undefined => {
  try {
    avro.Type.forSchema(reader as never).createResolver(avro.Type.forSchema(writer as never));
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
};

const membersOf = (fields: readonly Field[], flat: Members, parse: (text: string) => unknown): object => {
  const members: Members = {};
  for (const { name, json } of fields) {
    const value = flat[name];
    if (value !== null) members[name] = json ? parse(value as string) : value;
  }
  return members;
};
