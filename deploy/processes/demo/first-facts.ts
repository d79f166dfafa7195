// The tenant `demo`: made at the first start, with a token and real receipts; found again at every later one.
import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { runCommand } from '#commands/run.ts';
import type { TenantCommand } from '#commands/tenants.ts';
import { tenants } from '#commands/tenants.ts';
import { loadMapping } from '#gateway/cli/mapping-file.ts';
import { newToken, parseToken, TENANT_SCOPES } from '#gateway/http/tokens.ts';
import { ingestByAppending } from '#gateway/ingest/appending.ts';
import { streamSource } from '#gateway/ingest/source.ts';
import { tenantState } from '#gateway/tenancy/documents.ts';
import { type Instant, tenantId } from '#schemas/ids.ts';
import type { WiredLedger } from '../ledger/wire.ts';
import { commitLines } from './git-history.ts';

export const DEMO = tenantId('demo');

const PROJECT = fileURLToPath(new URL('../../..', import.meta.url)).replace(/[\\/]$/, '');
const clock = Date.now as () => Instant;

export interface FirstFacts {
  /** Lets in with all scopes; the same at every start. */
  readonly token: string;
  readonly tokenFile: string;
  /** What was loaded now; absent when the receipts had been loaded before. */
  readonly loaded?: { readonly receipts: number; readonly from: string } | undefined;
}

export const ensureFirstFacts = async (
  ledger: WiredLedger,
  dataDir: string,
  signal: AbortSignal,
): Promise<FirstFacts> => {
  if (!(await ledger.store.head(DEMO)))
    await send(ledger, { type: 'CreateTenant', displayName: 'Demonstration' });
  const tokenFile = join(dataDir, 'demo-token');
  const token = (await savedToken(ledger, tokenFile)) ?? (await issueToken(ledger, tokenFile));
  return { token, tokenFile, loaded: await loadOnce(ledger, join(dataDir, 'demo-loaded'), signal) };
};

const send = async ({ store }: WiredLedger, command: TenantCommand): Promise<void> => {
  const context = { tenant: DEMO, actor: 'npm start', at: clock(), key: randomUUID() };
  const outcome = await runCommand({ store, decider: tenants }, command, context);
  // Another process may have made the tenant at the same moment.
  if (outcome.kind === 'refused' && outcome.refusal.refusal !== 'TenantAlreadyExists')
    throw new Error(outcome.refusal.message);
};

/** The token of an earlier start, if it still lets in. */
const savedToken = async ({ store }: WiredLedger, file: string): Promise<string | undefined> => {
  const text = await readFile(file, 'utf8').then(
    (content) => content.trim(),
    () => '',
  );
  const parsed = parseToken(text);
  if (parsed?.tenant !== DEMO) return undefined;
  const known = (await tenantState(store, DEMO)).tokens.get(parsed.tokenId);
  return known && !known.revoked && known.tokenHash === parsed.secretHash ? text : undefined;
};

const issueToken = async (ledger: WiredLedger, file: string): Promise<string> => {
  const { token, tokenId, tokenHash } = newToken(DEMO);
  await send(ledger, { type: 'IssueToken', tokenId, tokenHash, scopes: TENANT_SCOPES, label: 'npm start' });
  await writeFile(file, `${token}\n`, { mode: 0o600 });
  return token;
};

/** Marked when done: an interrupted load is done again, which stores nothing twice. The mark names the ledger it is about. */
const loadOnce = async (
  { store }: WiredLedger,
  mark: string,
  signal: AbortSignal,
): Promise<FirstFacts['loaded']> => {
  const marked = await readFile(mark, 'utf8').then(
    (content) => content.trim(),
    () => '',
  );
  if (marked === store.ledgerId) return undefined;
  const { from, lines } = await commitLines(PROJECT);
  const { mapping } = await loadMapping('git-commits');
  const source = streamSource(from, () => Readable.from(lines.map((line) => Buffer.from(`${line}\n`))));
  const faults: string[] = [];
  const work = ingestByAppending({
    store,
    tenant: DEMO,
    mapping,
    signal,
    clock,
    lines: source.lines(signal),
    onReject: ({ line, message }) => faults.push(`line ${line}: ${message}`),
  });
  await work.done;
  if (faults.length > 0)
    throw new Error(`${from}: ${faults.length} commits do not map to receipts; the first: ${faults[0]}`);
  if (signal.aborted) return undefined;
  await writeFile(mark, `${store.ledgerId}\n`, { mode: 0o600 });
  const { recorded, repeated } = work.counts();
  return { receipts: recorded + repeated, from };
};
