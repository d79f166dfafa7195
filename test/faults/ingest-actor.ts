// The process that is killed: callers that append one request after the other, for ever. An acknowledgement counts
// once its line is synced to the file. Started again, each caller goes on with its first request whose line is
// missing, under the same ids: it may have been stored, or not.
//
//   node ingest-actor.ts <database URL> <key folder> <acknowledgements file>
//
// Prints "ready" when the callers begin. Lines of the file: tenant, caller, number, kind, ids.
import { hash } from 'node:crypto';
import { appendFileSync, fdatasyncSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { localKeys } from '#proofs/keys/local.ts';
import type { Draft } from '#schemas/event.ts';
import { factId, type Instant, type StreamName, streamName, type TenantId, tenantId } from '#schemas/ids.ts';
import { connect, RUNTIME_ROLE } from '#streams/postgres/connect.ts';
import { postgresStreamStore } from '#streams/postgres/store.ts';
import type { AppendRequest, StreamStore } from '#streams/stream.ts';

const CALLERS = 24;
export const TENANTS: readonly TenantId[] = ['acme', 'birch', 'cedar'].map(tenantId);

export interface Acknowledgement {
  readonly tenant: TenantId;
  readonly caller: number;
  readonly number: number;
  readonly kind: 'appended' | 'repeated';
  readonly ids: readonly string[];
}

/** The whole lines of the file: a kill may have cut the last one, which then was not acknowledged. */
export const readAcknowledgements = (file: string): readonly Acknowledgement[] => {
  const text = readFileSync(file, 'utf8');
  const lines = text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter(Boolean);
  return lines.map((line) => JSON.parse(line) as Acknowledgement);
};

const tenantOf = (caller: number): TenantId => TENANTS[caller % TENANTS.length] as TenantId;

/** One to three facts; every fourth caller decides from a stream of its own. The same at every start. */
const draftsOf = (caller: number, number: number): readonly Draft[] =>
  Array.from({ length: 1 + (number % 3) }, (_, index) => {
    const digest = hash('sha256', `${caller} ${number} ${index}`, 'hex');
    const id = `${digest.slice(0, 8)}-${digest.slice(8, 12)}-7${digest.slice(13, 16)}-8${digest.slice(17, 20)}-${digest.slice(20, 32)}`;
    return {
      id: factId(id),
      type: 'tests.Said',
      schemaVersion: 1,
      stream: streamOf(caller),
      occurredAt: (1_700_000_000_000 + number) as Instant,
      actor: `caller:${caller}`,
      payload: JSON.stringify({ caller, filler: 'x'.repeat(digest.charCodeAt(0) * 4), index, number }),
    };
  });

const streamOf = (caller: number): StreamName | undefined =>
  caller % 4 === 3 ? streamName('tests', `caller-${caller}`) : undefined;

const call = async (store: StreamStore, file: number, caller: number, start: number): Promise<never> => {
  const tenant = tenantOf(caller);
  const stream = streamOf(caller);
  let revision = stream ? ((await store.readStream(tenant, stream)).at(-1)?.seq ?? 0) : 0;
  for (let number = start; ; number += 1) {
    const drafts = draftsOf(caller, number);
    const expect = (
      stream ? { kind: 'stream', stream, revision } : { kind: 'any' }
    ) as AppendRequest['expect'];
    const result = await store.append({ tenant, drafts, expect });
    if (result.kind !== 'appended' && result.kind !== 'repeated') {
      throw new Error(`caller ${caller}, number ${number}: ${JSON.stringify(result)}`);
    }
    revision = result.facts.at(-1)?.fact.seq ?? revision;
    const line: Acknowledgement = {
      tenant,
      caller,
      number,
      kind: result.kind,
      ids: result.facts.map(({ fact }) => fact.id),
    };
    writeSync(file, `${JSON.stringify(line)}\n`);
    fdatasyncSync(file);
  }
};

const openTenants = async (store: StreamStore): Promise<void> => {
  for (const tenant of TENANTS) {
    const opening = { ...(draftsOf(1_000, 0)[0] as Draft), type: 'tests.Opened' };
    const { kind } = await store.append({ tenant, drafts: [opening], expect: { kind: 'new-tenant' } });
    if (kind !== 'appended' && kind !== 'repeated') throw new Error(`${tenant} cannot be opened: ${kind}`);
  }
};

const main = async ([url = '', folder = '', path = '']: readonly string[]): Promise<void> => {
  const { signer } = await localKeys({ folder });
  const pool = connect({ url, role: RUNTIME_ROLE, max: 4, name: 'ingest-actor' });
  const store = await postgresStreamStore({ pool, signer, retryForMs: 60_000 });
  await openTenants(store);
  const next = new Map<number, number>();
  appendFileSync(path, '');
  dropHalfLine(path);
  for (const { caller, number } of readAcknowledgements(path)) next.set(caller, number + 1);
  const file = openSync(path, 'a');
  process.stdout.write('ready\n');
  await Promise.all(
    Array.from({ length: CALLERS }, (_, caller) => call(store, file, caller, next.get(caller) ?? 0)),
  );
};

/** A line that a kill cut short would swallow the next one. It was not acknowledged: it goes. */
const dropHalfLine = (path: string): void => {
  const text = readFileSync(path, 'latin1');
  truncateSync(path, text.lastIndexOf('\n') + 1);
};

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main(process.argv.slice(2));
