// The registry of schemas, spoken to through Confluent's client, and the framing of its messages: a zero byte, the
// schema's id as u32, the Avro bytes. Schemas are immutable, so each id is asked for once; decoding is then a function
// call, where the client's own would make a promise for every message.
import { COMPATIBILITY, SchemaRegistry, SchemaType } from '@kafkajs/confluent-schema-registry';
import { parseStrict } from '#proofs/canonical.ts';
import { type AvroReader, avroReader } from '#schemas/codec.ts';
import { type KnownIds, knownIds, knownSchema, released } from '#schemas/registry/released.ts';
import { COMPATIBILITY as MODE, type Subject } from '#schemas/registry/subjects.ts';
import { KafkaError } from './errors.ts';

export interface RegistrySettings {
  /** Where Confluent's interface begins. */
  readonly url: string;
  readonly username?: string;
  readonly password?: string;
  /** What answers while the registry is away; the checked-in ids unless told. */
  readonly known?: KnownIds;
}

export const FRAME_BYTES = 5;

/** The schema id of a framed message; `undefined` when it is none. */
export const framedId = (value: Buffer): number | undefined =>
  value.length >= FRAME_BYTES && value[0] === 0 ? value.readUInt32BE(1) : undefined;

/** `bytes` behind the frame of a schema id. */
export const framed = (id: number, bytes: Buffer): Buffer => {
  const value = Buffer.allocUnsafe(FRAME_BYTES + bytes.length);
  value[0] = 0;
  value.writeUInt32BE(id, 1);
  bytes.copy(value, FRAME_BYTES);
  return value;
};

/** `unknown`: the registry has no such schema. `unreadable`: it is of no event, or not compatible with it. */
export type Learnt =
  | { readonly kind: 'known'; readonly reader: AvroReader }
  | { readonly kind: 'unavailable' | 'unknown' | 'unreadable'; readonly message: string };

export interface WireSchemas {
  /** The reader for an id that was learnt before. */
  readonly reader: (id: number) => AvroReader | undefined;
  /** Asks the registry; while it is away the checked-in ids of this very registry answer. */
  readonly learn: (id: number) => Promise<Learnt>;
  /** The id under which a subject's schema is registered; throws `KafkaError`, `no-such-schema` when it is not. */
  readonly idOf: (subject: Subject) => Promise<number>;
  /** Registers it under its subject with the declared compatibility; throws `KafkaError` also as `incompatible`. */
  readonly publish: (subject: Subject) => Promise<number>;
}

interface HttpFailure {
  readonly status?: number;
  readonly message?: string;
}

/** JSON text inside a message comes from outside like any other: one text, one value. */
const strictJson = (text: string): unknown => {
  const read = parseStrict(text);
  if (read.ok) return read.value;
  const { path, message } = read.error;
  throw new Error(path ? `${path}: ${message}` : message);
};

const isAway = (error: unknown): boolean => {
  const { status } = error as HttpFailure;
  // The client gives a connection that failed the status 400 or 0, with a message of the system's.
  return (
    status === undefined ||
    status === 0 ||
    status >= 500 ||
    status === 408 ||
    status === 429 ||
    /ECONN|ENOTFOUND|ETIMEDOUT|EAI_AGAIN|EPIPE|socket|network/i.test(messageOf(error))
  );
};

const messageOf = (error: unknown): string => (error as HttpFailure).message ?? String(error);

export const wireSchemas = (settings: RegistrySettings): WireSchemas => {
  const { url, username, password, known = knownIds() } = settings;
  const client = new SchemaRegistry({
    host: url,
    clientId: 'prov-ledger',
    ...(username !== undefined && { auth: { username, password: password ?? '' } }),
    retry: { retries: 2, maxRetryTimeInSecs: 1, initialRetryTimeInSecs: 0.1 },
  });
  const readers = new Map<number, AvroReader>();
  const ids = new Map<string, number>();
  const keep = (id: number, schema: unknown): Learnt => {
    try {
      const reader = avroReader(schema, strictJson);
      readers.set(id, reader);
      return { kind: 'known', reader };
    } catch (error) {
      return { kind: 'unreadable', message: `schema ${id} is of no event here: ${messageOf(error)}` };
    }
  };
  return {
    reader: (id) => readers.get(id),
    learn: async (id) => {
      const reader = readers.get(id);
      if (reader) return { kind: 'known', reader };
      try {
        const found = (await client.getSchema(id)) as { schema?: (options: object) => unknown };
        // A schema of another kind (JSON, Protobuf) has no such form.
        if (!found.schema) return { kind: 'unreadable', message: `schema ${id} is not Avro` };
        return keep(id, found.schema({ exportAttrs: true }));
      } catch (error) {
        if (!isAway(error))
          return { kind: 'unknown', message: `the registry has no schema ${id}: ${messageOf(error)}` };
        const schema = knownSchema(known, url, id);
        return schema === undefined
          ? { kind: 'unavailable', message: `the registry does not answer: ${messageOf(error)}` }
          : keep(id, schema);
      }
    },
    idOf: async (subject) => {
      const id = ids.get(subject.name) ?? (await registeredId(client, known[url] ?? {}, subject));
      ids.set(subject.name, id);
      return id;
    },
    publish: (subject) => publish(client, subject),
  };
};

const avroOf = ({ schema }: Subject) => ({ type: SchemaType.AVRO, schema }) as const;

const registeredId = async (
  client: SchemaRegistry,
  known: KnownIds[string],
  subject: Subject,
): Promise<number> => {
  try {
    return await client.getRegistryIdBySchema(subject.name, avroOf(subject));
  } catch (error) {
    const id = isAway(error) ? knownId(known, subject) : undefined;
    if (id !== undefined) return id;
    // The client's own word for 404, whose status it drops.
    if ((error as Error).name === 'ConfluentSchemaRegistryError')
      throw new KafkaError(
        'no-such-schema',
        `the registry does not have the schema of ${subject.name}: run \`prov-ledger schemas publish\``,
        { cause: error },
      );
    throw registryError(error, `${subject.name} has no id`);
  }
};

const knownId = (known: KnownIds[string], { name, schema }: Subject): number | undefined => {
  const versions = released()[name] ?? [];
  const entry = Object.entries(known ?? {}).find(
    ([, { subject, version }]) => subject === name && JSON.stringify(versions[version - 1]) === schema,
  );
  return entry && Number(entry[0]);
};

const publish = async (client: SchemaRegistry, subject: Subject): Promise<number> => {
  try {
    const { id } = await client.register(avroOf(subject), {
      subject: subject.name,
      compatibility: COMPATIBILITY[MODE],
    });
    return id;
  } catch (error) {
    // Of several who publish a new schema in the same moment the registry takes one, and the others find it there.
    const found = isAway(error)
      ? undefined
      : await client.getRegistryIdBySchema(subject.name, avroOf(subject)).catch(() => undefined);
    if (found !== undefined) return found;
    throw registryError(error, `${subject.name} was not registered`);
  }
};

const registryError = (error: unknown, what: string): KafkaError => {
  const { status } = error as HttpFailure;
  const { name } = error as Error;
  const options = { cause: error };
  if (status === 409 || name === 'ConfluentSchemaRegistryCompatibilityError')
    return new KafkaError('incompatible', `${what}: ${messageOf(error)}`, options);
  if (status !== 404 && name !== 'ConfluentSchemaRegistryError' && isAway(error))
    return new KafkaError(
      'registry-unavailable',
      `${what}: the registry does not answer (${messageOf(error)})`,
      options,
    );
  return new KafkaError('unexpected', `${what}: ${messageOf(error)}`, options);
};
