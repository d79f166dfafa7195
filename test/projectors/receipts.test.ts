import { expect } from 'chai';
import { type AnyProjector, foldBatch } from '#projectors/batch.ts';
import type { Row } from '#projectors/projector.ts';
import { receipts, receiptsDaily } from '#projectors/receipts.ts';
import { decodeFact } from '#schemas/index.ts';
import { ACME, chain, type Said } from './chains.ts';

const AT = '2026-11-03T10:30:00Z';

// As the decider records it: it occurred when the receipt was created.
const receipt = ({
  created_at = AT,
  ...data
}: {
  readonly [member: string]: unknown;
  readonly created_at?: string;
}): Said => ({
  type: 'receipts.ReceiptRecorded',
  schemaVersion: 3,
  occurredAt: created_at,
  data: {
    id: 'r-1',
    tenant: 'acme',
    actor: 'bob',
    action: 'db.export',
    decision: 'deny',
    created_at,
    ...data,
  },
});

/** Given these facts, the rows. */
const rowsOf = (projector: AnyProjector, ...said: readonly Said[]): readonly Row[] => {
  const { changes, poison } = foldBatch(projector, chain(ACME, said).map(decodeFact) as never, new Map());
  if (poison) throw poison.error;
  return [...changes.inserts, ...changes.upserts.values()] as readonly Row[];
};

describe('receipts', () => {
  it('has a row for each receipt, with everything it says', () => {
    const full = {
      evidence_hash: `sha256:${'ab'.repeat(32)}`,
      policy_version: '2026.11',
      region: 'eu-central-1',
      kid: 'key-1',
      op_id: 'op-2',
      op_parent_id: 'op-1',
      inputs: { rows: 12 },
      created_at: '2026-11-03T11:30:00.250+01:00',
    };
    expect(rowsOf(receipts, receipt({ ...full }), receipt({ id: 'r-2', decision: 'allow' }))).to.deep.equal([
      {
        receipt_id: 'r-1',
        seq: 1,
        fact_id: '00000000-0000-7000-8000-000000000001',
        action: 'db.export',
        actor: 'bob',
        decision: 'deny',
        evidence_hash: full.evidence_hash,
        policy_version: '2026.11',
        region: 'eu-central-1',
        kid: 'key-1',
        op_id: 'op-2',
        op_parent_id: 'op-1',
        inputs: { rows: 12 },
        schema_version: '1',
        created_at: Date.UTC(2026, 10, 3, 10, 30, 0, 250),
        recorded_at: Date.UTC(2026, 10, 1, 8, 0, 1),
      },
      {
        receipt_id: 'r-2',
        seq: 2,
        fact_id: '00000000-0000-7000-8000-000000000002',
        action: 'db.export',
        actor: 'bob',
        decision: 'allow',
        evidence_hash: null,
        policy_version: null,
        region: null,
        kid: null,
        op_id: null,
        op_parent_id: null,
        inputs: null,
        schema_version: '1',
        created_at: Date.UTC(2026, 10, 3, 10, 30),
        recorded_at: Date.UTC(2026, 10, 1, 8, 0, 2),
      },
    ]);
  });

  it('reads the older versions as the newest, and says which one came', () => {
    const said = { id: 'r-1', tenant: 'acme', actor: 'bob', action: 'db.export', decision: 'deny' };
    const old: Said = {
      type: 'receipts.ReceiptRecorded',
      schemaVersion: 1,
      occurredAt: AT,
      data: { ...said, version: '0.1', timestamp: AT, policy: 'p-1', evidence: 'cd'.repeat(32) },
    };
    const mid: Said = {
      ...old,
      schemaVersion: 2,
      data: { ...(old.data as object), version: '0.2', region: 'eu' },
    };
    expect(
      rowsOf(receipts, old, mid).map((row) => [
        row['schema_version'],
        row['policy_version'],
        row['evidence_hash'],
        row['region'],
        row['created_at'],
      ]),
    ).to.deep.equal([
      ['0.1', 'p-1', `sha256:${'cd'.repeat(32)}`, null, Date.UTC(2026, 10, 3, 10, 30)],
      ['0.2', 'p-1', `sha256:${'cd'.repeat(32)}`, 'eu', Date.UTC(2026, 10, 3, 10, 30)],
    ]);
  });
});

describe('receipts_daily', () => {
  it('counts by UTC day, action and decision', () => {
    const at = (created_at: string, more: object = {}): Said => receipt({ created_at, ...more });
    const rows = rowsOf(
      receiptsDaily,
      at('2026-11-03T10:30:00Z'),
      at('2026-11-03T09:30:00Z'),
      at('2026-11-04T00:30:00+01:00'),
      at('2026-11-03T12:00:00Z', { decision: 'allow' }),
      at('2026-11-03T12:00:00Z', { action: 'db.drop' }),
      at('2026-11-04T00:00:00Z'),
    );
    expect(
      rows.map((row) => [row['day'], row['action'], row['decision'], row['receipts'], row['last_seq']]),
    ).to.deep.equal([
      ['2026-11-03', 'db.export', 'deny', 3, 3],
      ['2026-11-03', 'db.export', 'allow', 1, 4],
      ['2026-11-03', 'db.drop', 'deny', 1, 5],
      ['2026-11-04', 'db.export', 'deny', 1, 6],
    ]);
    expect(rows[0]).to.include({
      first_created_at: Date.UTC(2026, 10, 3, 9, 30),
      last_created_at: Date.UTC(2026, 10, 3, 23, 30),
    });
  });
});
