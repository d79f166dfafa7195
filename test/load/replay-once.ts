// One replay in a process of its own, so that its peak memory is its own. Arguments: `file` and a fixture, or `stored`, URL,
// ledger id and the public JWKs.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fixtureFeedOf } from '#gateway/cli/replay-source.ts';
import { projectors } from '#projectors/index.ts';
import { ledgerFeed } from '#replay-harness/ledger-feed.ts';
import { replay } from '#replay-harness/replay.ts';
import { connect, RUNTIME_ROLE } from '#streams/postgres/connect.ts';

const [kind, source = '', ledgerId = '', keys = '[]'] = process.argv.slice(2);
const folder = await mkdtemp(join(tmpdir(), 'prov-ledger-bench-'));
const pool = kind === 'stored' ? connect({ url: source, role: RUNTIME_ROLE }) : undefined;
const feed = pool
  ? await ledgerFeed({ pool, url: source, ledgerId, keys: JSON.parse(keys) as readonly unknown[] })
  : await fixtureFeedOf(source, { events: undefined, signal: new AbortController().signal });
const { verdict, fault, differences, measured } = await replay({ feed, projectors, folder });
await pool?.end();
await rm(folder, { recursive: true });
if (verdict !== 'sound') throw new Error(JSON.stringify({ fault, differences }));
const { samples: _, ...figures } = measured;
console.log(JSON.stringify(figures));
