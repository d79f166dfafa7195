// Every path of the service, each with its guard beside it. A path that is not in this table does not exist; a route
// without a guard does not start (server.ts), and a test reads this table and plants one to see that.
import type { ListReceipts } from '#projectors/postgres/receipt-list.ts';
import type { KeySet } from '#proofs/keys/public-key.ts';
import type { StreamStore } from '#streams/stream.ts';
import { getHead, ledgerOperations } from './ledger.ts';
import { eventsOperation, getEvents } from './ledger-events.ts';
import type { GatewayMetrics } from './metrics.ts';
import type { Operation } from './operation.ts';
import { problem } from './problems.ts';
import { getReceipts, listOperation } from './receipt-list.ts';
import { getProof, getReceipt, postReceipts, receiptOperations } from './receipts.ts';
import type { Recorder } from './record.ts';
import { type Call, jsonReply, problemReply, type Route } from './route.ts';
import { getTail, type TailParts, tailOperation } from './tail.ts';
import { BUNDLE_BYTES_MAX, postVerify, verifyOperation } from './verify.ts';

const operations = {
  keys: {
    id: 'getKeys',
    subject: 'verification',
    summary: 'The public keys that receipts of this ledger are verified with.',
    answers: {
      200: { description: 'A JWK Set.', media: [{ type: 'application/jwk-set+json', schema: 'Keys' }] },
    },
  },
  health: {
    id: 'getHealth',
    subject: 'service',
    summary: 'The process answers.',
    answers: {
      200: {
        description: 'It does.',
        media: [{ type: 'application/json', schema: 'Alive', example: { status: 'ok' } }],
      },
    },
  },
  readiness: {
    id: 'getReadiness',
    subject: 'service',
    summary: 'The service takes requests, or what is missing for that.',
    answers: { 200: { description: 'It does.', media: [{ type: 'application/json', schema: 'Ready' }] } },
    problems: ['not-ready'],
  },
  metrics: {
    id: 'getMetrics',
    subject: 'service',
    summary: 'Figures of the process for Prometheus.',
    answers: {
      200: { description: 'The figures.', media: [{ type: 'text/plain', schema: { type: 'string' } }] },
    },
  },
} as const satisfies { readonly [name: string]: Operation };

export interface Readiness {
  readonly ready: boolean;
  /** What is not ready, in words for an operator; empty when ready. */
  readonly missing: readonly string[];
}

export interface Service extends Recorder, Omit<TailParts, 'store' | 'fault'> {
  readonly store: Pick<StreamStore, 'append' | 'find' | 'head' | 'proof' | 'read'>;
  /** From the read model. */
  readonly listReceipts: ListReceipts;
  readonly jwks: () => KeySet | Promise<KeySet>;
  readonly readiness: () => Promise<Readiness>;
  readonly metrics: GatewayMetrics;
}

export const routes = (service: Service): readonly Route[] => [
  ...ledgerRoutes(service),
  ...serviceRoutes(service),
];

const ledgerRoutes = (service: Service): readonly Route[] => [
  {
    method: 'POST',
    path: '/receipts',
    guard: { scope: 'receipts:write' },
    about: receiptOperations.post,
    handle: postReceipts(service),
  },
  {
    method: 'GET',
    path: '/receipts',
    guard: { scope: 'receipts:read' },
    about: listOperation,
    handle: getReceipts(service.listReceipts),
  },
  {
    method: 'GET',
    path: '/provenance/receipts/{id}',
    guard: { scope: 'receipts:read' },
    about: receiptOperations.get,
    handle: getReceipt(service.store),
  },
  {
    method: 'GET',
    path: '/provenance/receipts/{id}/proof',
    guard: { scope: 'receipts:read' },
    about: receiptOperations.proof,
    handle: getProof(service.store),
  },
  {
    method: 'GET',
    path: '/ledger/{tenant}/head',
    guard: { scope: 'ledger:read' },
    about: ledgerOperations.head,
    handle: getHead(service.store),
  },
  {
    method: 'GET',
    path: '/ledger/{tenant}/events',
    guard: { scope: 'ledger:read' },
    about: eventsOperation,
    handle: getEvents(service.store),
  },
  {
    method: 'GET',
    path: '/ledger/{tenant}/tail',
    guard: { scope: 'ledger:read' },
    about: tailOperation,
    handle: getTail(service),
  },
  {
    method: 'POST',
    path: '/verify',
    guard: { scope: 'receipts:read' },
    about: verifyOperation,
    bodyBytesMax: BUNDLE_BYTES_MAX,
    handle: postVerify(service.jwks),
  },
];

const serviceRoutes = (service: Service): readonly Route[] => [
  {
    method: 'GET',
    path: '/.well-known/jwks.json',
    unversioned: true,
    about: operations.keys,
    guard: { open: 'public keys, which whoever verifies a receipt needs' },
    handle: async () => ({
      ...jsonReply(await service.jwks(), 200, { 'cache-control': 'public, max-age=300' }),
      type: 'application/jwk-set+json; charset=utf-8',
    }),
  },
  {
    method: 'GET',
    path: '/healthz',
    unversioned: true,
    about: operations.health,
    guard: { open: 'says only that the process answers' },
    handle: () => jsonReply({ status: 'ok' }, 200, { 'cache-control': 'no-store' }),
  },
  {
    method: 'GET',
    path: '/readyz',
    unversioned: true,
    about: operations.readiness,
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
    unversioned: true,
    about: operations.metrics,
    guard: { open: 'figures of the process, which must be readable when the store is away' },
    handle: async ({ headers }: Call) => ({
      status: 200,
      headers: { 'cache-control': 'no-store', vary: 'accept' },
      ...(await service.metrics.page(String(headers['accept'] ?? ''))),
    }),
  },
];
