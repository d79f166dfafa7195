// The AsyncAPI 3 document of the ledger's topics, made from their declarations and the schemas of the events.
import { subjects } from '#schemas/registry/subjects.ts';
import { CONTENT_TYPE } from './fact-message.ts';
import { DEAD_LETTER_HEADERS, EVENT_HEADERS, type HeaderDeclaration } from './headers.ts';
import { topics as declaredTopics, type TopicDeclaration, topicSettings } from './topics.ts';

const AVRO = 'application/vnd.apache.avro;version=1.9.0';

/** A name as the document's keys take it. */
const key = (name: string): string => name.replaceAll(/[^A-Za-z0-9_-]/g, '_');

const messageTypes = ({ events }: TopicDeclaration): readonly string[] =>
  events.includes('*') ? subjects().map(({ name }) => name) : events;

const eventMessage = (name: string, topic: TopicDeclaration) => ({
  name,
  contentType: CONTENT_TYPE,
  ...(topic.direction === 'out' && { headers: { $ref: '#/components/schemas/fact_headers' } }),
  payload: { $ref: `#/components/schemas/${key(name)}` },
  bindings: {
    kafka: {
      schemaIdLocation: 'payload',
      schemaIdPayloadEncoding: 'confluent',
      schemaLookupStrategy: 'RecordNameStrategy',
    },
  },
});

const plainMessage = (topic: TopicDeclaration) => ({
  name: topic.name,
  summary: topic.value,
  ...(topic.direction === 'aside' && { headers: { $ref: '#/components/schemas/dead_letter_headers' } }),
});

const messages = (topic: TopicDeclaration) => {
  const types = messageTypes(topic);
  return types.length === 0
    ? { message: plainMessage(topic) }
    : Object.fromEntries(types.map((name) => [key(name), eventMessage(name, topic)]));
};

const channel = (topic: TopicDeclaration) => ({
  address: topic.name,
  title: topic.name,
  description: `${topic.summary} Key: ${topic.key}. Value: ${topic.value}.`,
  messages: messages(topic),
  bindings: {
    kafka: {
      topic: topic.name,
      partitions: topic.partitions,
      topicConfiguration: Object.fromEntries(
        Object.entries(topicSettings(topic)).map(([name, value]) => [
          name,
          name === 'cleanup.policy' ? [value] : Number(value),
        ]),
      ),
    },
  },
});

const headers = (declarations: readonly HeaderDeclaration[]) => ({
  type: 'object',
  required: declarations.filter(({ always }) => always).map(({ name }) => name),
  properties: Object.fromEntries(
    declarations.map(({ name, description }) => [name, { type: 'string', description }]),
  ),
});

const operation = (topic: TopicDeclaration) => ({
  action: topic.direction === 'in' ? 'receive' : 'send',
  channel: { $ref: `#/channels/${key(topic.name)}` },
  summary: topic.summary,
});

/** The same declarations give the same document. */
export const asyncApi = (version: string, topics: readonly TopicDeclaration[] = declaredTopics) => ({
  asyncapi: '3.0.0',
  info: {
    title: 'Prov-Ledger',
    version,
    description:
      "What the ledger takes from topics and gives to them. Values are Avro behind Confluent's five bytes: zero, and the schema id as u32.",
    license: { name: 'Apache-2.0' },
  },
  defaultContentType: CONTENT_TYPE,
  channels: Object.fromEntries(topics.map((topic) => [key(topic.name), channel(topic)])),
  operations: Object.fromEntries(
    topics
      .filter(({ consumer }) => consumer !== 'none yet')
      .map((topic) => [`${topic.direction === 'in' ? 'take' : 'give'}_${key(topic.name)}`, operation(topic)]),
  ),
  components: {
    schemas: {
      ...Object.fromEntries(
        subjects().map(({ name, schema }) => [
          key(name),
          { schemaFormat: AVRO, schema: JSON.parse(schema) as unknown },
        ]),
      ),
      fact_headers: headers(EVENT_HEADERS),
      dead_letter_headers: headers(DEAD_LETTER_HEADERS),
    },
  },
});
