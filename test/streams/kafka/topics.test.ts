import { readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { asyncApi } from '#streams/kafka/asyncapi.ts';
import { ingested, topicSettings, topics } from '#streams/kafka/topics.ts';

const GOLDEN = new URL('../../../docs/asyncapi.json', import.meta.url);
const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** Every `$ref` of a document. */
const refsOf = (value: unknown): readonly string[] => {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) =>
    name === '$ref' ? [member as string] : refsOf(member),
  );
};

const at = (document: object, pointer: string): unknown =>
  pointer
    .slice(2)
    .split('/')
    .reduce<unknown>((value, name) => (value as Record<string, unknown> | undefined)?.[name], document);

describe('streams/kafka/topics', () => {
  it('are declared once each, and what is taken in has a topic for what cannot be', () => {
    const names = topics.map(({ name }) => name);
    expect(new Set(names).size).to.equal(names.length);
    expect(ingested.map(({ name }) => name)).to.deep.equal(['provenance.receipts.v1']);
    for (const { name, direction } of topics) if (direction === 'in') expect(names).to.include(`${name}.dlq`);
  });

  it('keep what their retention says', () => {
    const settings = (name: string) => topicSettings(topics.find((topic) => topic.name === name) as never);
    expect(settings('ledger.heads.v1')).to.include({ 'cleanup.policy': 'compact' });
    expect(settings('ledger.events.v1')).to.include({ 'cleanup.policy': 'delete', 'retention.ms': '-1' });
    expect(settings('provenance.receipts.v1')).to.include({ 'retention.ms': String(14 * 86_400_000) });
  });

  it('are described in docs/asyncapi.json (UPDATE_GOLDEN=1 writes it anew)', () => {
    const text = `${JSON.stringify(asyncApi(version), null, 2)}\n`;
    if (process.env['UPDATE_GOLDEN']) writeFileSync(GOLDEN, text);
    expect(readFileSync(GOLDEN, 'utf8')).to.equal(text);
  });

  it('have a document whose references lead somewhere, with a channel for each topic', () => {
    const document = asyncApi(version);
    const refs = refsOf(document);
    expect(refs.length).to.be.greaterThan(10);
    for (const ref of refs) expect(at(document, ref), ref).to.be.an('object');
    expect(Object.values(document.channels).map(({ address }) => address)).to.deep.equal(
      topics.map(({ name }) => name),
    );
  });
});
