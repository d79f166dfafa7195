// The receipt that a CloudEvent carries. Its data is the receipt, of any version; what that leaves out comes from the
// attributes, and the attributes themselves stand in `ext.cloudevents`, so that the receipt says which event it was.
// docs/operations/http.md has the table.
import { hash } from 'node:crypto';
import type { Fault } from '#schemas/event.ts';
import { type JsonObject, receiptVersion } from '#schemas/receipts.ts';
import type { CloudEvent } from './event.ts';

/** Where the event's own attributes stand in the receipt's `ext`. */
export const EVENT_MEMBER = 'cloudevents';

export type CarriedReceipt =
  | {
      readonly kind: 'receipt';
      readonly receipt: JsonObject;
      /** The place in the event that a place in the receipt came from. */
      readonly origin: (pointer: string) => string;
    }
  | { readonly kind: 'faulty'; readonly faults: readonly Fault[] };

/**
 * Of a receipt whose data has no id: source and id together name an event, so both make the receipt's. Neither can hold
 * a line feed: `printf '%s\n%s' "$source" "$id" | sha256sum`.
 */
export const eventReceiptId = ({ source, id }: Pick<CloudEvent, 'source' | 'id'>): string =>
  `ce:${hash('sha256', `${source}\n${id}`)}`;

export const receiptOf = (event: CloudEvent): CarriedReceipt => {
  const { data } = event;
  if (!isObject(data)) return faulty('/data', 'is no JSON object; give a receipt');
  const { ext } = data;
  if (isObject(ext) && Object.hasOwn(ext, EVENT_MEMBER))
    return faulty(`/data/ext/${EVENT_MEMBER}`, "is where the event's attributes are kept; leave it out");
  const time = receiptVersion(data) === 3 ? 'created_at' : 'timestamp';
  const lifted = {
    action: ['type', event.type],
    actor: ['subject', event.subject],
    [time]: ['time', event.time],
    id: ['id', eventReceiptId(event)],
  } as const;
  const from = new Map<string, string>();
  const receipt: { [member: string]: unknown } = { ...data };
  for (const [member, [attribute, value]] of Object.entries(lifted)) {
    if (receipt[member] !== undefined || value === undefined) continue;
    receipt[member] = value;
    from.set(member, attribute);
  }
  // An `ext` that is no object stays, to be refused with everything else that is wrong.
  if (ext === undefined || isObject(ext)) receipt['ext'] = { ...ext, [EVENT_MEMBER]: attributesOf(event) };
  const origin = (pointer: string): string => {
    const attribute = from.get(pointer.split('/')[1] ?? '');
    return attribute === undefined ? `/data${pointer}` : `/${attribute}`;
  };
  return { kind: 'receipt', receipt, origin };
};

const attributesOf = ({ id, source, type, subject, time, dataschema }: CloudEvent): JsonObject => ({
  id,
  source,
  type,
  ...(subject !== undefined && { subject }),
  ...(time !== undefined && { time }),
  ...(dataschema !== undefined && { dataschema }),
});

const faulty = (pointer: string, message: string): CarriedReceipt => ({
  kind: 'faulty',
  faults: [{ pointer, message }],
});

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
