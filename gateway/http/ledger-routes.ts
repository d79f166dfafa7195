// The routes of a tenant's own receipts and chain.

import type { ListReceipts } from '#projectors/postgres/receipt-list.ts';
import type { KeySet } from '#proofs/keys/public-key.ts';
import type { StreamStore } from '#streams/stream.ts';
import { getHead, ledgerOperations } from './ledger.ts';
import { eventsOperation, getEvents } from './ledger-events.ts';
import { exportOperation, getExport } from './ledger-export.ts';
import { getReceipts, listOperation } from './receipt-list.ts';
import { postOperation, postReceipts } from './receipt-posting.ts';
import { getProof, getReceipt, receiptOperations } from './receipts.ts';
import type { Recorder } from './record.ts';
import type { Route } from './route.ts';
import { getTail, type TailParts, tailOperation } from './tail.ts';
import { BUNDLE_BYTES_MAX, postVerify, verifyOperation } from './verify.ts';

export interface LedgerParts extends Recorder, Omit<TailParts, 'store' | 'fault'> {
  readonly store: Pick<StreamStore, 'append' | 'find' | 'head' | 'ledgerId' | 'proof' | 'read'>;
  /** From the read model. */
  readonly listReceipts: ListReceipts;
  readonly jwks: () => KeySet | Promise<KeySet>;
}

export const receiptRoutes = (parts: LedgerParts): readonly Route[] => [
  {
    method: 'POST',
    path: '/receipts',
    guard: { scope: 'receipts:write' },
    about: postOperation,
    handle: postReceipts(parts),
  },
  {
    method: 'GET',
    path: '/receipts',
    guard: { scope: 'receipts:read' },
    about: listOperation,
    handle: getReceipts(parts.listReceipts),
  },
  {
    method: 'GET',
    path: '/provenance/receipts/{id}',
    guard: { scope: 'receipts:read' },
    about: receiptOperations.get,
    handle: getReceipt(parts.store),
  },
  {
    method: 'GET',
    path: '/provenance/receipts/{id}/proof',
    guard: { scope: 'receipts:read' },
    about: receiptOperations.proof,
    handle: getProof(parts.store),
  },
  {
    method: 'POST',
    path: '/verify',
    guard: { scope: 'receipts:read' },
    about: verifyOperation,
    bodyBytesMax: BUNDLE_BYTES_MAX,
    handle: postVerify(parts.jwks),
  },
];

export const chainRoutes = (parts: LedgerParts): readonly Route[] => [
  {
    method: 'GET',
    path: '/ledger/{tenant}/head',
    guard: { scope: 'ledger:read' },
    about: ledgerOperations.head,
    handle: getHead(parts.store),
  },
  {
    method: 'GET',
    path: '/ledger/{tenant}/events',
    guard: { scope: 'ledger:read' },
    about: eventsOperation,
    handle: getEvents(parts),
  },
  {
    method: 'GET',
    path: '/ledger/{tenant}/export',
    guard: { scope: 'ledger:read' },
    about: exportOperation,
    handle: getExport(parts),
  },
  {
    method: 'GET',
    path: '/ledger/{tenant}/tail',
    guard: { scope: 'ledger:read' },
    about: tailOperation,
    handle: getTail(parts),
  },
];
