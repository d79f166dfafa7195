import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ingestByAppending, type Rejection } from '#gateway/ingest/appending.ts';
import { compileMapping, MAPPING_FORMAT, type Mapping } from '#gateway/ingest/mapping.ts';
import { loadResumption, saveResumption } from '#gateway/ingest/resumption.ts';
import type { SourceLine } from '#gateway/ingest/source.ts';
import type { Instant } from '#schemas/ids.ts';
import { tenantId } from '#schemas/ids.ts';
import { StreamError } from '#streams/errors.ts';
import type { StreamStore } from '#streams/stream.ts';
import { ACME, memoryLedger } from '#test/support/memory-ledger.ts';

const identity = ((): Mapping => {
  const compiled = compileMapping({ format: MAPPING_FORMAT, receipt: { $from: '.' } });
  if (!compiled.ok) throw new Error('identity does not compile');
  return compiled.mapping;
})();

const receipt = (id: string, over: object = {}): string =>
  JSON.stringify({
    id,
    action: 'db.export',
    actor: 'alice',
    decision: 'allow',
    created_at: '2026-11-21T09:00:00Z',
    ...over,
  });

const sourceLines = async function* (
  texts: readonly (string | undefined)[],
): AsyncGenerator<readonly SourceLine[]> {
  for (const [index, text] of texts.entries())
    yield [{ number: index + 1, bytes: text === undefined ? undefined : Buffer.from(text) }];
};

interface Over {
  readonly skip?: (line: number) => boolean;
  readonly signal?: AbortSignal;
  readonly inFlight?: number;
}

const ingest = async (
  store: Pick<StreamStore, 'append' | 'find' | 'readStream'>,
  texts: readonly (string | undefined)[],
  over: Over = {},
) => {
  const rejections: Rejection[] = [];
  const work = ingestByAppending({
    store,
    tenant: ACME,
    mapping: identity,
    lines: sourceLines(texts),
    onReject: (rejection) => rejections.push(rejection),
    signal: new AbortController().signal,
    clock: () => Date.UTC(2026, 10, 21, 10) as Instant,
    ...over,
  });
  const failure = await work.done.then(
    () => undefined,
    (error: Error) => error,
  );
  return { counts: work.counts(), through: work.through(), rejections, failure };
};

describe('gateway/ingest by appending', () => {
  it('records every line, in order, and a second time stores nothing', async () => {
    const { store } = await memoryLedger();
    const texts = Array.from({ length: 300 }, (_, index) => receipt(`r${index}`));
    expect((await ingest(store, texts, { inFlight: 7 })).counts).to.include({ recorded: 300, rejected: 0 });
    const ids: string[] = [];
    for await (const page of store.read(ACME)) for (const fact of page) ids.push(JSON.parse(fact.payload).id);
    expect(ids.filter(Boolean)).to.deep.equal(texts.map((text) => JSON.parse(text).id));
    expect((await ingest(store, texts)).counts).to.include({ recorded: 0, repeated: 300 });
    expect((await store.head(ACME))?.seq).to.equal(301);
  });

  it('gives every malformed line its own error; the rest goes in', async () => {
    const { store } = await memoryLedger();
    const texts = [
      receipt('a'),
      '{"id":',
      '',
      '{"id":"d","id":"d"}',
      undefined,
      receipt('f', { decision: 'maybe' }),
      receipt('g', { tenant: 'other' }),
      receipt('h', { created_at: undefined }),
      '[1]',
      receipt('a', { actor: 'bob' }),
      receipt('k', { version: '9' }),
      receipt('l'),
    ];
    const { counts, rejections, through } = await ingest(store, texts);
    expect(counts).to.deep.equal({ recorded: 2, repeated: 0, rejected: 9, skipped: 0, blank: 1 });
    expect(through).to.equal(texts.length);
    expect(
      rejections.sort((one, other) => one.line - other.line).map(({ line, code }) => [line, code]),
    ).to.deep.equal([
      [2, 'not-json'],
      [4, 'duplicate-key'],
      [5, 'line-too-long'],
      [6, 'malformed-receipt'],
      [7, 'tenant-mismatch'],
      [8, 'malformed-receipt'],
      [9, 'unmappable'],
      [10, 'id-taken'],
      [11, 'malformed-receipt'],
    ]);
    for (const { message, line } of rejections) expect(message.length, `line ${line}`).to.be.greaterThan(20);
    expect(rejections.find(({ line }) => line === 6)?.faults?.[0]?.pointer).to.equal('/decision');
  });

  it('knows a line without an id by its content', async () => {
    const { store } = await memoryLedger();
    const line = receipt('', { id: undefined });
    expect(
      (await ingest(store, [line, ` ${line}`, receipt('', { id: undefined, actor: 'bob' })])).counts,
    ).to.include({ recorded: 2, repeated: 1 });
  });

  it('takes no further line once it is stopped, and settles those under way', async () => {
    const { store } = await memoryLedger();
    const stop = new AbortController();
    let appends = 0;
    const stopping = {
      ...store,
      append: (request: Parameters<StreamStore['append']>[0]) => {
        appends += 1;
        if (appends === 5) stop.abort();
        return store.append(request);
      },
    };
    const { counts, through, failure } = await ingest(
      stopping,
      Array.from({ length: 50 }, (_, index) => receipt(`r${index}`)),
      { signal: stop.signal },
    );
    expect(failure).to.equal(undefined);
    expect(counts.recorded).to.equal(5);
    expect(through).to.equal(5);
    expect((await store.head(ACME))?.seq).to.equal(6);
  });

  it('waits out an overload, and ends with the error of a store that is gone', async () => {
    const { store } = await memoryLedger();
    let calls = 0;
    const moody = {
      ...store,
      append: async (request: Parameters<StreamStore['append']>[0]) => {
        calls += 1;
        if (calls === 1) throw new StreamError('overloaded', 'too many');
        if (calls === 4) throw new StreamError('unavailable', 'gone');
        return await store.append(request);
      },
    };
    const { counts, failure } = await ingest(
      moody,
      Array.from({ length: 20 }, (_, index) => receipt(`r${index}`)),
      { inFlight: 1 },
    );
    expect(counts.recorded).to.equal(2);
    expect(failure).to.be.instanceOf(StreamError).with.property('code', 'unavailable');
  });

  it('says that there is no such tenant', async () => {
    const { store } = await memoryLedger({ tenant: tenantId('other') });
    expect((await ingest(store, [receipt('a')])).failure?.message).to.match(/tenant create acme/);
  });
});

describe('gateway/ingest resumption', () => {
  const folder = mkdtempSync(join(tmpdir(), 'prov-ledger-resumption-'));
  after(() => rmSync(folder, { recursive: true }));

  it('goes on where the last run ended, but for what it rejected', async () => {
    const { store } = await memoryLedger();
    const key = { ledgerId: store.ledgerId, tenant: ACME, source: 's', mapping: 'm', unit: 'lines' as const };
    expect(await loadResumption(folder, key, store)).to.deep.equal({ through: 0, rejected: [] });
    await ingest(store, [receipt('a')]);
    await saveResumption(folder, key, { progress: { through: 10, rejected: [7, 3] }, store });
    expect(await loadResumption(folder, key, store)).to.deep.equal({ through: 10, rejected: [3, 7] });
    expect((await loadResumption(folder, { ...key, mapping: 'n' }, store)).through).to.equal(0);
    expect((await loadResumption(folder, { ...key, source: 't' }, store)).through).to.equal(0);
  });

  it('does not trust a ledger that went back', async () => {
    const { store } = await memoryLedger();
    const key = {
      ledgerId: store.ledgerId,
      tenant: ACME,
      source: 's2',
      mapping: 'm',
      unit: 'lines' as const,
    };
    await ingest(store, [receipt('a'), receipt('b')]);
    await saveResumption(folder, key, { progress: { through: 2, rejected: [] }, store });
    const { store: restored } = await memoryLedger();
    expect((await loadResumption(folder, key, restored)).through).to.equal(0);
    await ingest(restored, [receipt('x'), receipt('y')]);
    expect((await loadResumption(folder, key, restored)).through).to.equal(0);
  });
});
