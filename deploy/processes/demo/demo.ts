// `npm run demo`: one receipt from publication to proof, against the running service, as any client would. Each step
// is printed; the first one that fails ends it with the reason.
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { verifyReceipt } from '#proofs/verifier.ts';
import { DEMO } from './first-facts.ts';
import type { Started } from './tour.ts';

export type Say = (text: string) => void;

const PROJECTED_WITHIN_MS = 15_000;

export class DemoFailed extends Error {
  override readonly name = 'DemoFailed';
}

export const runDemo = async (started: Started, say: Say): Promise<void> => {
  const id = `demo-${randomUUID()}`;
  say('1. Publish a receipt over HTTP');
  const published = await publish(started, id);
  say(`   201: ${id} is fact ${published.fact.seq} of ${DEMO}, hash ${published.fact.hash}`);
  say('2. Find it in SQL');
  const row = await findRow(started, id);
  say(`   views.receipts: ${row.actor} asked for ${row.action}: ${row.decision}, at seq ${row.seq}`);
  say('3. Fetch it with its proof, and the public keys');
  const bundle = await text(started, `/provenance/receipts/${id}`);
  const jwks: unknown = JSON.parse(await text(started, '/.well-known/jwks.json'));
  say(`   ${Buffer.byteLength(bundle)} bytes, signed by ${published.proof.kid}`);
  say('4. Verify it offline: the document, the keys, and nothing else');
  const { ok, checks } = verifyReceipt(bundle, jwks);
  for (const check of checks) say(`   ${check.ok ? 'ok    ' : 'FAILED'} ${check.name}: ${check.detail}`);
  if (!ok) throw new DemoFailed('the receipt does not verify');
  say('5. Change one word of it, and verify again');
  const forged = verifyReceipt(bundle.replace('demo.publish', 'demo.nothing'), jwks);
  if (forged.ok) throw new DemoFailed('a changed receipt still verifies');
  say(`   refused: ${forged.checks.find((check) => !check.ok)?.detail}`);
};

interface Row {
  readonly seq: number;
  readonly action: string;
  readonly actor: string;
  readonly decision: string;
}

interface Published {
  readonly fact: { readonly seq: number; readonly hash: string };
  readonly proof: { readonly kid: string };
}

const publish = async ({ url, facts }: Started, id: string): Promise<Published> => {
  const receipt = {
    id,
    action: 'demo.publish',
    actor: 'npm run demo',
    decision: 'allow',
    inputs: { reason: 'to show the whole way' },
  };
  const answer = await fetch(`${url}/receipts`, {
    method: 'POST',
    headers: { authorization: `Bearer ${facts.token}`, 'content-type': 'application/json' },
    body: JSON.stringify(receipt),
  });
  const body = await answer.text();
  if (answer.status !== 201) throw new DemoFailed(`POST /receipts answered ${answer.status}: ${body}`);
  return JSON.parse(body) as Published;
};

const findRow = async ({ ledger }: Started, id: string): Promise<Row> => {
  for (const end = performance.now() + PROJECTED_WITHIN_MS; performance.now() < end; await pause(50)) {
    const { rows } = await ledger.pool.query<Row>(
      'SELECT seq, action, actor, decision FROM views.receipts WHERE tenant = $1 AND receipt_id = $2',
      [DEMO, id],
    );
    if (rows[0]) return rows[0];
  }
  throw new DemoFailed(
    `the read model does not have ${id} after ${PROJECTED_WITHIN_MS / 1000} s: run \`prov-ledger doctor\``,
  );
};

const text = async ({ url, facts }: Started, path: string): Promise<string> => {
  const answer = await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${facts.token}` } });
  const body = await answer.text();
  if (!answer.ok) throw new DemoFailed(`GET ${path} answered ${answer.status}: ${body}`);
  return body;
};
