// A CloudEvent (CloudEvents specification 1.0.2) as it is read here: the attributes that say which occurrence it is and
// who says so, and its data. Extension attributes are passed over, as a consumer may: whoever forwards an event adds
// some (an arrival time, a partition), and the same event that comes again by another way must be the same event. Only
// `traceparent` (the Distributed Tracing extension) is used.
import { type CanonicalFault, type JsonValue, parseStrictBytes } from '#proofs/canonical.ts';
import type { Fault } from '#schemas/event.ts';
import { dateTime, faultsAgainst, text } from '#schemas/faults.ts';

export interface CloudEvent {
  readonly id: string;
  /** A URI-reference. With `id` it names the event: section 3.1.1, "source". */
  readonly source: string;
  readonly type: string;
  readonly subject?: string;
  /** RFC 3339. */
  readonly time?: string;
  readonly dataschema?: string;
  readonly traceparent?: string;
  readonly data: JsonValue;
}

export type ReadEvent =
  | { readonly kind: 'event'; readonly event: CloudEvent }
  /** Pointers lead into the event in its JSON form, also where it came in headers. */
  | { readonly kind: 'faulty'; readonly faults: readonly Fault[] }
  /** What `data_base64` holds is no JSON text that can mean only one thing. */
  | { readonly kind: 'unreadable'; readonly fault: CanonicalFault };

// RFC 3986: the characters of a URI-reference, without going into how they are arranged.
const uriReference = (description: string) => ({
  type: 'string',
  pattern: "^[A-Za-z0-9\\-._~:/?#\\[\\]@!$&'()*+,;=%]{1,1024}$",
  description: `1 to 1024 characters of a URI-reference (RFC 3986): ${description}`,
});

/** The media types that JSON-formatted content has: JSON event format 1.0.2, section 3.1.1. */
const JSON_CONTENT = '^[!#$&^_.+A-Za-z0-9-]+/(?:[!#$&^_.+A-Za-z0-9-]+\\+)?[jJ][sS][oO][nN] *(?:;.*)?$';

/** An event in its JSON form. The same schema checks what comes and stands in the OpenAPI document. */
export const cloudEventSchema = {
  type: 'object',
  description:
    'a CloudEvent 1.0 whose data is a receipt; what the receipt leaves out comes from the attributes',
  properties: {
    specversion: { const: '1.0', description: '"1.0"' },
    id: text(1024, "the event's id, unique within its source"),
    source: uriReference('who says that it happened'),
    type: text(1024, "what happened: the receipt's action unless it has one"),
    subject: text(1024, "whom it is about: the receipt's actor unless it has one"),
    time: dateTime,
    datacontenttype: {
      type: 'string',
      pattern: JSON_CONTENT,
      description: 'a media type of JSON, for example application/json',
    },
    dataschema: uriReference('the schema of the data'),
    traceparent: text(256, 'a W3C traceparent'),
    data: { type: 'object', description: 'a receipt, as a JSON object' },
    data_base64: {
      type: 'string',
      pattern: '^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$',
      description: 'the JSON text of a receipt in base64 (RFC 4648 section 4)',
    },
  },
  required: ['specversion', 'id', 'source', 'type'],
  additionalProperties: {
    not: {
      anyOf: [{ type: 'object' }, { type: 'array' }],
      description: 'is of a type that no attribute can have; remove it',
    },
  },
} as const;

const faultsOfEvent = faultsAgainst(cloudEventSchema as never);

// Section 3, "Naming Conventions"; the JSON format adds `data_base64`.
const NAME = /^(?:[a-z0-9]{1,64}|data_base64)$/;

/** `attributes` are a JSON object's members; a member that is null is unset (JSON event format, section 2.2). */
export const readEvent = (attributes: { readonly [name: string]: unknown }): ReadEvent => {
  const set = Object.fromEntries(
    Object.entries(attributes).filter(([name, value]) => value !== null || name === 'data'),
  );
  const faults = [...faultsOfEvent(set), ...nameFaults(set), ...dataFaults(set)];
  if (faults.length > 0) return { kind: 'faulty', faults };
  const { data_base64: encoded } = set;
  if (encoded === undefined) return { kind: 'event', event: set as unknown as CloudEvent };
  const read = parseStrictBytes(Buffer.from(encoded as string, 'base64'));
  if (!read.ok) return { kind: 'unreadable', fault: read.error };
  return { kind: 'event', event: { ...set, data: read.value } as unknown as CloudEvent };
};

const NAMES_FAULTED_MAX = 20;

/** A name in another case is a misspelt attribute, and not one more extension. */
const nameFaults = (set: object): readonly Fault[] =>
  Object.keys(set)
    .filter((name) => !NAME.test(name))
    .slice(0, NAMES_FAULTED_MAX)
    .map((name) => ({
      pointer: `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`,
      message: 'is no name of an attribute; names have lower-case letters and digits only',
    }));

const dataFaults = (set: { readonly [name: string]: unknown }): readonly Fault[] => {
  const both = set['data'] !== undefined && set['data_base64'] !== undefined;
  const neither = set['data'] === undefined && set['data_base64'] === undefined;
  if (both) return [{ pointer: '/data_base64', message: 'stands beside "data"; give one of the two' }];
  return neither ? [{ pointer: '/data', message: 'is missing; give a receipt, as a JSON object' }] : [];
};
