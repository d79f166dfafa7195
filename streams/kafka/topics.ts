// Every topic of the ledger, declared in this one file: what it carries, what its key keeps in order, how long it keeps
// what it carries. `prov-ledger topics apply` makes a cluster agree with it.

export interface TopicDeclaration {
  readonly name: string;
  /** Who writes and who reads, in a sentence. */
  readonly summary: string;
  /** `in`: what the ledger takes. `out`: what it gives. `aside`: messages that could not be taken. */
  readonly direction: 'in' | 'out' | 'aside';
  readonly partitions: number;
  /** How long messages are kept; `compacted` keeps the last one of each key. */
  readonly retention: { readonly days: number } | 'forever' | 'compacted';
  /** What the key is; messages with one key stay in order. */
  readonly key: string;
  /** The events that its values are, by type; an empty list: as `value` says. */
  readonly events: readonly string[];
  readonly value: string;
  /** A domain that is not there yet: declared so that its producers can begin, with nobody taking it in. */
  readonly consumer: 'kafka-ingest' | 'anyone' | 'none yet';
}

const IN_DAYS = 14;

const ingest = (
  name: string,
  about: Pick<TopicDeclaration, 'summary' | 'key' | 'events' | 'value' | 'consumer'>,
): readonly TopicDeclaration[] => [
  { name, direction: 'in', partitions: 6, retention: { days: IN_DAYS }, ...about },
  {
    name: `${name}.dlq`,
    summary: `Messages of ${name} that could not be taken, as they came, for people and alarms. The ledger keeps its own copy.`,
    direction: 'aside',
    partitions: 1,
    retention: { days: 90 },
    key: 'the key of the message',
    events: [],
    value: 'the bytes of the message; where it came from and what is wrong stand in headers',
    consumer: 'anyone',
  },
];

export const topics: readonly TopicDeclaration[] = [
  ...ingest('provenance.receipts.v1', {
    summary: 'Receipts, from whoever decides about privileged actions.',
    key: 'what must stay in order, for example <tenant>/<operation>; a message that cannot be taken holds those behind it with the same key',
    events: ['receipts.ReceiptRecorded'],
    value: 'a receipt of version 1',
    consumer: 'kafka-ingest',
  }),
  ...ingest('metering.events.v1', {
    summary: 'Usage of metered things.',
    key: 'the tenant',
    events: [],
    value: 'defined with the domain metering',
    consumer: 'none yet',
  }),
  ...ingest('policy.bundle.updates', {
    summary: 'New versions of policy bundles.',
    key: 'the name of the bundle',
    events: [],
    value: 'defined with the domain policies',
    consumer: 'none yet',
  }),
  {
    name: 'ledger.events.v1',
    summary:
      'Every fact of the ledger, at least once, in order per tenant; its place and hash stand in headers.',
    direction: 'out',
    partitions: 6,
    retention: 'forever',
    key: 'the tenant',
    events: ['*'],
    value: 'the event of the fact, in its newest version',
    consumer: 'anyone',
  },
  {
    name: 'ledger.heads.v1',
    summary: 'The head of each tenant with the signature over it.',
    direction: 'out',
    partitions: 1,
    retention: 'compacted',
    key: 'the tenant',
    events: [],
    value: 'JSON: ledger_id, tenant, seq, hash, and the proof as a receipt carries it',
    consumer: 'anyone',
  },
];

/** The declaration of a topic; throws on a name that is not declared, which is a defect of the caller. */
export const declared = (name: string): TopicDeclaration => {
  const topic = topics.find((each) => each.name === name);
  if (!topic) throw new RangeError(`${name} is not declared in streams/kafka/topics.ts`);
  return topic;
};

/** The topics that `kafka-ingest` takes in. */
export const ingested: readonly TopicDeclaration[] = topics.filter(
  ({ consumer }) => consumer === 'kafka-ingest',
);

const DAY_MS = 86_400_000;

/** A fact is as large as the receipt in it, 1 MiB at most, and may carry its recorded text beside the newest version. */
const FACT_BYTES_MAX = 4 << 20;

/** The broker's settings that the declaration means. */
export const topicSettings = ({ retention, events }: TopicDeclaration): Readonly<Record<string, string>> => {
  if (retention === 'compacted') return { 'cleanup.policy': 'compact', 'retention.ms': '-1' };
  const ms = retention === 'forever' ? -1 : retention.days * DAY_MS;
  return {
    'cleanup.policy': 'delete',
    'retention.ms': String(ms),
    ...(events.includes('*') && { 'max.message.bytes': String(FACT_BYTES_MAX) }),
  };
};
