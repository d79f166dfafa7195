// Every path of the service, each with its guard beside it. A path that is not in this table does not exist; a route
// without a guard does not start (server.ts), and a test reads this table and plants one to see that.
import type { KeySet } from '#proofs/keys/public-key.ts';
import type { StreamStore } from '#streams/stream.ts';
import { getHead } from './ledger.ts';
import type { GatewayMetrics } from './metrics.ts';
import { problem } from './problems.ts';
import { getReceipt, postReceipts } from './receipts.ts';
import type { Recorder } from './record.ts';
import { type Call, jsonReply, problemReply, type Route } from './route.ts';

export interface Readiness {
  readonly ready: boolean;
  /** What is not ready, in words for an operator; empty when ready. */
  readonly missing: readonly string[];
}

export interface Service extends Recorder {
  readonly store: Pick<StreamStore, 'append' | 'find' | 'head' | 'proof'>;
  readonly jwks: () => KeySet | Promise<KeySet>;
  readonly readiness: () => Promise<Readiness>;
  readonly metrics: GatewayMetrics;
}

export const routes = (service: Service): readonly Route[] => [
  { method: 'POST', path: '/receipts', guard: { scope: 'receipts:write' }, handle: postReceipts(service) },
  {
    method: 'GET',
    path: '/provenance/receipts/{id}',
    guard: { scope: 'receipts:read' },
    handle: getReceipt(service.store),
  },
  {
    method: 'GET',
    path: '/ledger/{tenant}/head',
    guard: { scope: 'ledger:read' },
    handle: getHead(service.store),
  },
  {
    method: 'GET',
    path: '/.well-known/jwks.json',
    guard: { open: 'public keys, which whoever verifies a receipt needs' },
    handle: async () => ({
      ...jsonReply(await service.jwks(), 200, { 'cache-control': 'public, max-age=300' }),
      type: 'application/jwk-set+json; charset=utf-8',
    }),
  },
  {
    method: 'GET',
    path: '/healthz',
    guard: { open: 'says only that the process answers' },
    handle: () => jsonReply({ status: 'ok' }, 200, { 'cache-control': 'no-store' }),
  },
  {
    method: 'GET',
    path: '/readyz',
    guard: { open: 'names parts of the service, and nothing that is in them' },
    handle: async ({ requestId }: Call) => {
      const { ready, missing } = await service.readiness();
      if (ready) return jsonReply({ status: 'ready', missing: [] }, 200, { 'cache-control': 'no-store' });
      return problemReply(problem('not-ready', `not ready: ${missing.join(', ')}`, { missing }), requestId);
    },
  },
  {
    method: 'GET',
    path: '/metrics',
    guard: { open: 'figures of the process without tenants, which must be readable when the store is away' },
    handle: async () => ({
      status: 200,
      type: service.metrics.contentType,
      headers: { 'cache-control': 'no-store' },
      body: await service.metrics.exposition(),
    }),
  },
];
