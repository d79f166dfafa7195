// The ledger that the cookbooks ask: the receipts that docs/sql-cookbook.md prints, as facts.
import { readFileSync } from 'node:fs';
import type { Recorded } from '#schemas/event.ts';
import { tenantId } from '#schemas/ids.ts';
import type { Receipt } from '#schemas/receipts.ts';
import { chain, type Said } from './chains.ts';

const page = readFileSync(new URL('../../docs/sql-cookbook.md', import.meta.url), 'utf8');

const NAMES: { readonly [tenant: string]: string } = {
  acme: 'Acme Corporation',
  globex: 'Globex',
  initech: 'Initech',
};

/** One chain for each tenant; that of initech ends with a fact of a version that this program does not know. */
export const exampleLedger = (): readonly (readonly Recorded[])[] => {
  const [, lines = ''] = /^```ndjson\n([^]*?)^```$/m.exec(page) ?? [];
  const receipts = lines
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Receipt);
  const tenants = [...new Set(receipts.map(({ tenant }) => tenant))];
  return tenants.map((tenant) => {
    const created: Said = {
      type: 'tenants.TenantCreated',
      data: { tenant, display_name: NAMES[tenant] },
      recordedAt: '2026-09-01T08:00:00Z',
    };
    const said = receipts
      .filter((receipt) => receipt.tenant === tenant)
      .map(
        (data): Said => ({
          type: 'receipts.ReceiptRecorded',
          schemaVersion: 3,
          data,
          recordedAt: data.created_at,
        }),
      );
    const fromTheFuture: Said = { type: 'receipts.ReceiptRecorded', schemaVersion: 99 };
    return chain(
      tenantId(tenant),
      tenant === 'initech' ? [created, ...said, fromTheFuture] : [created, ...said],
    );
  });
};
