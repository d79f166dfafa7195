// What `npm start` tells whoever started it: what there is, in figures, and lines to paste.
import { relative } from 'node:path';
import { count, figure, pairs } from '#gateway/cli/output.ts';
import { verifyTenant } from '#gateway/cli/verify-chain.ts';
import { projectors } from '#projectors/index.ts';
import { keysFromJwks } from '#proofs/keys/public-key.ts';
import type { Seq } from '#schemas/ids.ts';
import type { Database } from '../ledger/database.ts';
import type { WiredLedger } from '../ledger/wire.ts';
import { DEMO, type FirstFacts } from './first-facts.ts';

/** Facts verified at a start; `prov-ledger verify all` verifies every one. */
const VERIFIED_MAX = 10_000;

export interface Started {
  readonly ledger: WiredLedger;
  readonly database: Database;
  readonly facts: FirstFacts;
  readonly url: string;
  readonly operatorsUrl: string;
  readonly dataDir: string;
  readonly seconds: number;
}

/** Throws when the chain does not verify. */
export const verifiedChain = async ({ store, jwks }: WiredLedger): Promise<string> => {
  const head = await store.head(DEMO);
  if (!head) throw new Error('the tenant demo has no facts');
  const from = Math.max(1, head.seq - VERIFIED_MAX + 1) as Seq;
  const { fault, facts, batches } = await verifyTenant(store, DEMO, {
    keys: keysFromJwks(jwks()),
    from,
    to: head.seq,
  });
  if (fault) throw new Error(`the chain does not verify: ${fault.message}; run \`prov-ledger verify all\``);
  const part = from === 1 ? '' : 'its last ';
  return `${part}${count(facts, 'fact')} verified, ${count(batches, 'signature')} checked`;
};

const rowCounts = async ({ pool }: WiredLedger): Promise<string> => {
  const counts: string[] = [];
  for (const { name } of projectors) {
    const { rows } = await pool.query<{ rows: number }>(`SELECT count(*) AS rows FROM views.${name}`);
    counts.push(`${name} ${count(rows[0]?.rows ?? 0, 'row')}`);
  }
  return counts.join(', ');
};

const QUESTION =
  "SELECT action, actor, count(*) AS receipts FROM views.receipts WHERE tenant = 'demo' GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 5";

export const figures = async ({
  ledger,
  facts,
  url,
  operatorsUrl,
  database,
  dataDir,
  seconds,
}: Started): Promise<string> => {
  const head = await ledger.store.head(DEMO);
  return pairs([
    ['started in', `${seconds.toFixed(1)} s`],
    [
      'ledger',
      `${ledger.store.ledgerId}, ${database.embedded ? `embedded PostgreSQL, data in ${shown(dataDir)}` : 'PostgreSQL of DATABASE_URL'}`,
    ],
    [
      'loaded',
      facts.loaded
        ? `${count(facts.loaded.receipts, 'receipt')} from ${facts.loaded.from}`
        : 'nothing new: the receipts of the first start are there',
    ],
    ['tenant demo', `${count(head?.seq ?? 0, 'fact')}, head ${figure(head?.seq ?? 0)} ${head?.hash ?? ''}`],
    ['chain', await verifiedChain(ledger)],
    ['read models', await rowCounts(ledger)],
    ['listening on', `${url}  (/docs /healthz /readyz /.well-known/jwks.json)`],
    ['figures at', `${operatorsUrl}/metrics`],
    ['token', `${facts.token}  (kept in ${shown(facts.tokenFile)})`],
  ]);
};

export const invitation = ({ facts, url }: Started): string =>
  [
    'Publish a receipt:',
    `  curl -s ${url}/receipts -H 'Authorization: Bearer ${facts.token}' -H 'Content-Type: application/json' -d '{"action":"db.export","actor":"you","decision":"allow"}'`,
    'Ask in SQL:',
    `  node deploy/prov-ledger.mjs sql "${QUESTION}"`,
    'Administer tenants and tokens over HTTP (docs/operations/http.md), with a token from:',
    '  node deploy/prov-ledger.mjs operator create --label you',
    'Verify everything:',
    '  node deploy/prov-ledger.mjs verify all',
    '',
    'Ctrl-C stops it; the data stays.',
  ].join('\n');

const shown = (path: string): string => {
  const near = relative(process.cwd(), path);
  return near !== '' && !near.startsWith('..') ? near : path;
};
